"""The graph of Dify's DSL as the nodes that run one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dify_local._apps.node import Node
from dify_local._protocol.values import JsonObject

_EMPTY: dict[str, object] = {"string": "", "number": 0, "integer": 0, "boolean": False}


@dataclass
class ExportedGraph:
    """What is run of a graph.

    Attributes:
        nodes: The nodes on the first way from the start to an end.
        variables: The input form, as the start node lists it.
        outputs: What its end nodes give, as references.
        answer: The texts of its answer nodes, one after the other.
    """

    nodes: list[Node] = field(default_factory=list)
    variables: list[JsonObject] = field(default_factory=list)
    outputs: dict[str, object] = field(default_factory=dict)
    answer: str = ""


def exported_graph(graph: JsonObject) -> ExportedGraph:
    """Return what is run of the `graph` of an export.

    Raises:
        ValueError: It has no start node.
    """
    entries = {str(node["id"]): node.get("data") or {} for node in graph.get("nodes") or []}
    start = next((key for key, data in entries.items() if data.get("type") == "start"), None)
    if start is None:
        raise ValueError("its graph has no start node")
    found = ExportedGraph(variables=entries[start].get("variables") or [])
    for key in _way(start, graph.get("edges") or [], entries):
        data = entries[key]
        found.nodes.append(_node(key, data))
        if data.get("type") == "answer":
            found.answer += data.get("answer") or ""
        elif data.get("type") == "end":
            for output in data.get("outputs") or []:
                found.outputs[output["variable"]] = _reference(output.get("value_selector"))
    return found


def _way(start: str, edges: list[JsonObject], entries: dict[str, JsonObject]) -> list[str]:
    """Return the nodes that are reached, each behind those it waits for.

    A node that chooses between ways takes the first; parallel ways are all taken.
    """
    following: dict[str, list[str]] = {}
    handles: dict[str, str] = {}
    for edge in edges:
        source, handle = str(edge["source"]), str(edge.get("sourceHandle") or "source")
        if handle == handles.setdefault(source, handle) and str(edge["target"]) in entries:
            following.setdefault(source, []).append(str(edge["target"]))
    reached: list[str] = []
    # Depth first, a node written down after all that follow it: reversed, each is behind its cause.
    ways = [(start, iter(following.get(start, ())))]
    seen = {start}
    while ways:
        key, rest = ways[-1]
        target = next((target for target in rest if target not in seen), None)
        if target is None:
            reached.append(key)
            ways.pop()
        else:
            seen.add(target)
            ways.append((target, iter(following.get(target, ()))))
    return reached[::-1]


def _reference(selector: object) -> str:
    parts = [str(part) for part in selector] if isinstance(selector, list) else []
    return f"{{{{#{'.'.join(parts)}#}}}}" if len(parts) > 1 else ""


def _node(key: str, data: JsonObject) -> Node:
    kind = str(data.get("type") or "code")
    form = None
    if kind == "human-input":
        form = {name: data.get(name) for name in ("form_content", "inputs", "user_actions")}
    made = _OUTPUTS.get(kind)
    return Node(key, kind, data.get("title") or "", made(data) if made else {}, form)


def _code(data: JsonObject) -> dict[str, object]:
    declared = data.get("outputs") or {}
    return {name: _empty((of or {}).get("type")) for name, of in declared.items()}


def _extracted(data: JsonObject) -> dict[str, object]:
    parameters = {p["name"]: _empty(p.get("type")) for p in data.get("parameters") or []}
    return {**parameters, "__is_success": 1, "__reason": None}


def _empty(kind: object) -> object:
    if str(kind).startswith("array"):
        return []
    return {} if kind == "object" else _EMPTY.get(str(kind), "")


def _classified(data: JsonObject) -> dict[str, object]:
    classes = data.get("classes") or [{}]
    return {"class_name": classes[0].get("name", ""), "class_id": classes[0].get("id", "")}


def _chosen(data: JsonObject) -> dict[str, object]:
    cases = data.get("cases") or [{}]
    return {"result": True, "selected_case_id": cases[0].get("case_id", "true")}


def _aggregated(data: JsonObject) -> dict[str, object]:
    variables = data.get("variables") or [None]
    return {"output": _reference(variables[0])}


def _tool(_: JsonObject) -> dict[str, object]:
    return {"text": "", "files": [], "json": []}


def _request(_: JsonObject) -> dict[str, object]:
    return {"status_code": 200, "body": "", "headers": {}, "files": []}


# What a node gives of which only the configuration is known: the right names, nothing in them.
_OUTPUTS: dict[str, Callable[[JsonObject], dict[str, object]]] = {
    "code": _code,
    "parameter-extractor": _extracted,
    "question-classifier": _classified,
    "if-else": _chosen,
    "variable-aggregator": _aggregated,
    "tool": _tool,
    "http-request": _request,
    "template-transform": lambda _: {"output": ""},
    "document-extractor": lambda _: {"text": ""},
    "list-operator": lambda _: {"result": [], "first_record": "", "last_record": ""},
    "iteration": lambda _: {"output": []},
    "loop": lambda _: {},
}
