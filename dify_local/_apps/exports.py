"""Apps made from exports of real ones: their `/info` and `/parameters`, or Dify's DSL."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dify_local._apps.app import App
from dify_local._apps.controls import CONTROL_TYPES, Control
from dify_local._apps.graph_export import exported_graph
from dify_local._protocol.values import JsonObject


def load_app(path: str | Path) -> App:
    """Return the app of an export; its name is that of the file.

    Understood are

    - `.yml` and `.yaml`: Dify's DSL, as "Export DSL" writes it: form, opening, features, nodes and
      outputs. Of a graph with branches the first branch is run. Needs PyYAML.
    - `.json`: an object with the replies of `GET /info` and `GET /parameters` as `info` and
      `parameters`.
    - a folder: with those replies in `info.json` and `parameters.json`.

    Args:
        path: File or folder.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no export of an app.
        ImportError: It is YAML, and PyYAML is not installed.

    Example:
        >>> server = LocalDify(apps=[load_app("support.yml")])  # doctest: +SKIP
        >>> server.keys["support"]  # doctest: +SKIP
        'app-support'
    """
    path = Path(path)
    name = re.sub(r"[^\w.-]+", "-", path.stem if path.is_file() else path.name, flags=re.ASCII)
    try:
        if path.is_dir():
            replies = {part: _read(path / f"{part}.json") for part in ("info", "parameters")}
            return _from_replies(name, replies)
        content = _read(path)
        if "app" in content:
            return _from_dsl(name, content)
        return _from_replies(name, content)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} is no export of a Dify app: {error}") from error


def _read(path: Path) -> JsonObject:
    text = path.read_text(encoding="utf-8")
    content = _yaml(text) if path.suffix in {".yml", ".yaml"} else json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    return content


def _yaml(text: str) -> object:
    try:
        import yaml  # type: ignore[import-untyped] # its types are a package of their own
    except ImportError as error:
        raise ImportError(
            'An app in YAML needs PyYAML: pip install "dify-adapters[local]"'
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _from_replies(name: str, replies: JsonObject) -> App:
    info, parameters = replies.get("info"), replies.get("parameters")
    if not isinstance(info, dict) or not isinstance(parameters, dict):
        raise ValueError("it needs the replies `info` and `parameters`")
    mode = info.get("mode")
    if not mode:
        raise ValueError("`info` has no `mode`; older servers leave it out: add it")
    return App(
        name,
        mode,
        info.get("name") or "",
        info.get("description") or "",
        **_features(parameters),
        parameters_shown=parameters,
        info_shown=info,
    )


def _from_dsl(name: str, content: JsonObject) -> App:
    kind = content.get("kind", "app")
    if kind != "app":
        raise ValueError(f"its kind is {kind!r}")
    app, workflow = content["app"], content.get("workflow")
    settings = workflow.get("features") if workflow else content.get("model_config")
    features = _features(settings or {})
    graph: dict[str, Any] = {}
    if workflow:
        exported = exported_graph(workflow.get("graph") or {})
        features["form"] = [_control(v.get("type"), v) for v in exported.variables]
        graph = {"nodes": exported.nodes}
        if app["mode"] == "workflow":
            graph["outputs"] = exported.outputs
        else:
            graph["answer"] = exported.answer
    return App(
        name, app["mode"], app.get("name") or "", app.get("description") or "", **features, **graph
    )


def _features(settings: JsonObject) -> dict[str, Any]:
    """Return what `/parameters` and the DSL say with the same words."""

    def enabled(name: str) -> bool:
        return bool((settings.get(name) or {}).get("enabled"))

    controls = [next(iter(entry.items())) for entry in settings.get("user_input_form") or []]
    names = {
        "citations": enabled("retriever_resource"),
        "suggestions": enabled("suggested_questions_after_answer"),
        "speech": enabled("text_to_speech") or enabled("speech_to_text"),
    }
    upload = settings.get("file_upload") or {}
    return {
        "form": [_control(kind, body) for kind, body in controls],
        "opening": settings.get("opening_statement") or "",
        "suggested_questions": settings.get("suggested_questions") or [],
        "files": enabled("file_upload") or bool((upload.get("image") or {}).get("enabled")),
        "features": frozenset(name for name, there in names.items() if there),
    }


def _control(kind: str | None, body: JsonObject) -> Control:
    # What has no control of its own is a text to the API.
    kind = kind if kind in CONTROL_TYPES else "text-input"
    options = body.get("options") or ()
    if kind == "select" and not options:
        kind = "text-input"
    return Control(
        kind,
        body["variable"],
        body.get("label") or "",
        required=bool(body.get("required")),
        options=options if kind == "select" else (),
        max_length=int(body.get("max_length") or body.get("number_limits") or _longest(kind)),
        default=body.get("default") or None,
    )


def _longest(kind: str) -> int:
    # Chat apps may leave it open.
    return 5 if kind == "file-list" else 100_000
