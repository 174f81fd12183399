"""What an app is: its key, its mode, its input form, and how the API describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dify_local._apps.controls import FILE_TYPES, Control
from dify_local._apps.node import Node
from dify_local._protocol.values import JsonObject, stable_id

MODES = ("chat", "agent-chat", "advanced-chat", "completion", "workflow", "agent")

CHAT_MODES = frozenset({"chat", "agent-chat", "advanced-chat", "agent"})
WORKFLOW_MODES = frozenset({"workflow", "advanced-chat"})

FEATURES = frozenset({"citations", "suggestions", "speech"})
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_IMAGE_EXTENSIONS = [".JPG", ".JPEG", ".PNG", ".GIF", ".WEBP", ".SVG"]


@dataclass(frozen=True)
class App:
    """An app: what it is called, what it asks for, and what it says.

    An app without an `answer` and `nodes` answers from the documents, as the ready-made apps do.
    Texts may hold Dify's references: `{{name}}` is an input, `{{#sys.query#}}` the question,
    `{{#llm.text#}}` the output `text` of the node `llm`.

    Args:
        name: Short name: the key of `LocalDify.keys`; its API key is `app-NAME`.
        mode: Dify's mode: `chat`, `agent-chat`, `advanced-chat` (a chatflow), `completion`,
            `workflow` or `agent`.
        title: Name as `/info` gives it; that of the app when left out.
        description: What it does, as `/info` gives it.
        form: Its input form.
        opening: Greeting.
        suggested_questions: Questions to begin with.
        files: Whether it takes files.
        features: Any of `citations`, `suggestions`, `speech`.
        nodes: The nodes that a workflow or chatflow runs, in this order. A start node, and an end
            or answer node, are added where there is none.
        outputs: What a workflow gives: a name and a value, or a text with references.
        answer: What it answers, always.
        tags: Its tags, as `/info` gives them.
        parameters_shown: `/parameters` of a real app, shown as it is.
        info_shown: `/info` of a real app, shown as it is.

    Raises:
        ValueError: The name cannot stand in a key, there is no such mode or feature, or the app's
            mode has no nodes.

    Example:
        >>> App("refunds", "chat", answer="Refunds take 5 days, {{name}}.",
        ...     form=[Control("text-input", "name", required=True)]).key
        'app-refunds'
    """

    name: str
    mode: str
    title: str = ""
    description: str = ""
    form: Sequence[Control] = ()
    opening: str = ""
    suggested_questions: Sequence[str] = ()
    files: bool = False
    features: frozenset[str] = frozenset({"citations"})
    nodes: Sequence[Node] = ()
    outputs: Mapping[str, object] | None = field(default=None, hash=False)
    answer: str | None = None
    tags: Sequence[str] = ()
    parameters_shown: JsonObject | None = field(default=None, repr=False, hash=False)
    info_shown: JsonObject | None = field(default=None, repr=False, hash=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"App name {self.name!r}: letters, digits and - . _ make an API key")
        if self.mode not in MODES:
            raise ValueError(f"App {self.name!r} has no mode {self.mode!r}; {', '.join(MODES)}")
        unknown = ", ".join(sorted(set(self.features) - FEATURES))
        if unknown:
            raise ValueError(f"App {self.name!r} has no feature {unknown}")
        if self.nodes and self.mode not in WORKFLOW_MODES:
            raise ValueError(f"App {self.name!r}: only workflow and advanced-chat apps have nodes")
        if self.outputs is not None and self.mode != "workflow":
            raise ValueError(f"App {self.name!r}: only workflow apps have outputs")
        for name in ("form", "suggested_questions", "nodes", "tags"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "features", frozenset(self.features))
        object.__setattr__(self, "title", self.title or self.name)

    @property
    def key(self) -> str:
        """Return the API key."""
        return f"app-{self.name}"

    @property
    def id(self) -> str:
        """Return the app's id, the same in every process."""
        return stable_id("app", self.name)

    @property
    def workflow_id(self) -> str:
        """Return the id of the published workflow."""
        return stable_id("workflow", self.name)

    def question(self, inputs: JsonObject, query: str = "") -> str:
        """Return what is asked: the query, or else the first text of the form."""
        if query:
            return query
        texts = (c.variable for c in self.form if c.type in {"paragraph", "text-input"})
        return next((str(inputs[name]) for name in texts if inputs.get(name)), "")

    @property
    def hears(self) -> bool:
        """Tell whether speech becomes text; completion apps only speak."""
        return "speech" in self.features and self.mode != "completion"

    @property
    def retriever_from(self) -> str:
        """Return how this app's citations say where they come from."""
        return "workflow" if self.mode in WORKFLOW_MODES else "api"

    def parameters(self, *, auto_play: bool) -> JsonObject:
        """Return `/parameters`.

        Args:
            auto_play: Whether answers are read aloud unasked.
        """
        if self.parameters_shown is not None:
            return dict(self.parameters_shown)
        speech: JsonObject = {"enabled": False, "language": "", "voice": ""}
        if self.mode == "agent":
            speech = {"enabled": False}
        if "speech" in self.features:
            speech = {"enabled": True, "language": "en-US", "voice": "alloy"}
            if auto_play:
                speech["autoPlay"] = "enabled"
        return {
            "opening_statement": self.opening,
            "suggested_questions": list(self.suggested_questions),
            "suggested_questions_after_answer": {"enabled": "suggestions" in self.features},
            "speech_to_text": {"enabled": self.hears},
            "text_to_speech": speech,
            "retriever_resource": {"enabled": "citations" in self.features},
            "annotation_reply": {"enabled": False},  # the server knows better
            "more_like_this": {"enabled": self.mode == "completion"},
            "user_input_form": [
                control.entry(workflow=self.mode in WORKFLOW_MODES) for control in self.form
            ],
            "sensitive_word_avoidance": self._moderation(),
            "file_upload": self._file_upload(),
            "system_parameters": {
                "image_file_size_limit": 10,
                "video_file_size_limit": 100,
                "audio_file_size_limit": 50,
                "file_size_limit": 15,
                "workflow_file_upload_limit": 10,
            },
        }

    def _moderation(self) -> JsonObject:
        if self.mode in WORKFLOW_MODES:
            return {"enabled": False}
        if self.mode == "agent":
            return {"enabled": False, "type": "", "config": {}}
        return {"enabled": False, "type": "", "configs": []}

    def _file_upload(self) -> JsonObject:
        upload: JsonObject = {
            "enabled": self.files,
            "allowed_file_types": list(FILE_TYPES) if self.files else [],
            "allowed_file_extensions": _IMAGE_EXTENSIONS if self.files else [],
            "allowed_file_upload_methods": ["remote_url", "local_file"],
            "number_limits": 3,
        }
        if self.mode == "agent":
            upload["image"] = {"enabled": self.files}
        elif self.mode not in WORKFLOW_MODES or not self.files:
            upload["image"] = {
                "enabled": self.files,
                "number_limits": 3,
                "transfer_methods": ["remote_url", "local_file"],
            }
            if self.mode not in WORKFLOW_MODES:
                upload["image"]["detail"] = "high"
        return upload

    def info(self) -> JsonObject:
        """Return `/info`."""
        if self.info_shown is not None:
            return dict(self.info_shown)
        return {
            "name": self.title,
            "description": self.description,
            "tags": list(self.tags),
            "mode": self.mode,
            "author_name": "Dify Local",
        }
