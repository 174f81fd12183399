"""Compares two answers: status, code, the order of events, fields and types."""

from __future__ import annotations

from typing import Any

from tests.fidelity.recordings import Recording, events_of, json_of

# What is in them belongs to an app, its model or its documents, not to the protocol.
_FREE = frozenset(
    {
        "inputs",
        "outputs",
        "process_data",
        "execution_metadata",
        "resolved_default_values",
        "submitted_data",
        "tool_icons",
        "tool_labels",
        "user_input_form",
        "doc_metadata",
        "data_source_info",
        "form_submission_data",
    }
)
# The nodes and texts of a run follow its app's own graph; of each stretch only the kinds count.
_OF_THE_GRAPH = ("node_", "iteration_", "loop_", "parallel_", "message", "text_chunk", "reasoning_")
_NOT_OF_THE_GRAPH = ("message_end", "message_file", "message_replace")


def differences(recording: Recording, status: int, content_type: str, body: bytes) -> list[str]:
    """What differs between a recorded answer and another one; empty if they are alike."""
    if status != recording.status:
        return [f"status {status}, recorded {recording.status}: {body[:160]!r}"]
    streamed = content_type.startswith("text/event-stream")
    if streamed != recording.streamed:
        return [f"{content_type}, recorded {recording.reply_headers.get('content-type')}"]
    if streamed:
        return _of_streams(events_of(body), recording.events)
    ours, theirs = json_of(body), recording.document
    if theirs is None:
        return [] if ours is None else ["JSON, recorded something else"]
    if status >= 400:
        return _of_refusals(ours, theirs)
    return shape_differences(ours, theirs)


def _of_refusals(ours: Any, theirs: Any) -> list[str]:
    if not isinstance(ours, dict):
        return ["no JSON object"]
    found = shape_differences(ours, theirs)
    for key in ("code", "status"):
        if not found and isinstance(theirs, dict) and ours.get(key) != theirs.get(key):
            found.append(f"{key} {ours.get(key)!r}, recorded {theirs.get(key)!r}")
    return found


def _of_streams(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    found = []
    if sequence(ours) != sequence(theirs):
        found.append(f"{' '.join(sequence(ours))}, recorded {' '.join(sequence(theirs))}")
    mine, recorded = by_kind(ours), by_kind(theirs)
    for kind in mine.keys() & recorded.keys():
        found.extend(
            shape_differences(event, other, kind) for event, other in [(mine[kind], recorded[kind])]
        )
    flat: list[str] = []
    for item in found:
        flat.extend(item if isinstance(item, list) else [item])
    return flat


def sequence(events: list[dict[str, Any]]) -> list[str]:
    """The names of the events in order, repetitions left out.

    So are pings, but the first of a run, and texts of a run that pauses: not every graph has some.
    """
    names = [event["event"] for event in events]
    run = any(name.startswith("workflow_") for name in names)
    silent = "human_input_required" in names
    found: list[str] = []
    stretch: set[str] = set()
    for index, name in enumerate(names):
        if name == "ping" and (index or not run):
            continue
        if silent and name in {"message", "text_chunk"}:
            continue
        if run and name.startswith(_OF_THE_GRAPH) and name not in _NOT_OF_THE_GRAPH:
            stretch.add(name)
            continue
        if stretch:
            found.append("+".join(sorted(stretch)))
            stretch = set()
        if not found or found[-1] != name:
            found.append(name)
    return [*found, "+".join(sorted(stretch))] if stretch else found


def by_kind(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last event of each name, and of each type of node."""
    found = {}
    for event in events:
        data = event.get("data")
        kind = data.get("node_type", "") if isinstance(data, dict) else ""
        found[f"{event['event']} {kind}".strip()] = event
    return found


def shape_differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two values differ in keys or types; null fits anything, whole numbers fit others."""
    if ours is None or theirs is None:
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if path.rpartition(".")[2] in _FREE:
            return []
        missing = theirs.keys() - ours.keys() - _FREE
        found = [f"{path}.{key} is missing" for key in sorted(missing)]
        found += [f"{path}.{key} is not Dify's" for key in sorted(ours.keys() - theirs.keys())]
        for key in ours.keys() & theirs.keys():
            found += shape_differences(ours[key], theirs[key], f"{path}.{key}")
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        return shape_differences(ours[0], theirs[0], f"{path}[0]") if ours and theirs else []
    if {type(ours), type(theirs)} <= {int, float}:
        return []
    return [] if type(ours) is type(theirs) else [f"{path}: {ours!r}, recorded {theirs!r}"]
