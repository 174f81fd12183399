"""What happened in a recording beside the request, and the directive that asks for the same.

The recorded apps have scripted models. What theirs did (failed, thought, used a tool, paused) is
asked of the local model; what it said does not matter.
"""

from __future__ import annotations

from tests.fidelity.recordings import Recording

_QUESTION = "Which planet has the most moons?"
_PLAIN = "/echo one two"
# The price of an answer that no model has given.
_NO_MODEL = '"prompt_unit_price":"0.0"'
_GRAPH_PARTS = (
    ("iteration_started", "iteration"),
    ("loop_started", "loop"),
    ("node_retry", "retry"),
    ("parallel_branch_started", "branches"),
)
_BY_EVENT = (
    ("workflow_paused", "/pause Draft."),
    ("message_replace", "/replace Never mind."),
    ("tts_message", "/tts One two. Three four."),
    ("reasoning_chunk", "/reason Let me see."),
)


def names(recording: Recording) -> list[str]:
    return [event["event"] for event in recording.events] if recording.streamed else []


def compact(recording: Recording) -> str:
    """The answer without the spaces that JSON may have."""
    text = recording.reply.decode(errors="replace")
    return text.replace('": ', '":').replace(", ", ",")


def is_stopped(recording: Recording) -> bool:
    """Whether somebody stopped the generation."""
    told = "stopped" in recording.name or '"status":"stopped"' in compact(recording)
    return told and recording.method == "POST" and "message_replace" not in names(recording)


def is_expired(recording: Recording) -> bool:
    """Whether a form had expired."""
    told = "human_input_form_expired", "human_input_form_timeout", '"__action_id":""'
    return any(word in compact(recording) for word in told)


def waits(recording: Recording) -> bool:
    """Whether a run waited for a person, then or before."""
    told = "human_input", "workflow_paused", '"paused"', '"resumption"', "human-input"
    return any(word in compact(recording) for word in told)


def is_submitted_meanwhile(recording: Recording) -> bool:
    """Whether a form was submitted while its run was watched."""
    watched = recording.path.endswith("/events") and not is_expired(recording)
    return watched and {"workflow_paused", "workflow_finished"} <= set(names(recording))


def is_annotated(recording: Recording) -> bool:
    """Whether an annotation answered, or was asked for."""
    text = compact(recording)
    told = '"annotation_reply":{' in text and '"annotation_reply":{"enabled":false' not in text
    asked = recording.path in {"/chat-messages", "/parameters"} and recording.status == 200
    return asked and (told or "annotation_hit" in recording.name)


def is_refused_in_stream(recording: Recording) -> bool:
    """Whether a worker refused the request, when the stream had begun already."""
    return set(names(recording)) == {"ping", "workflow_started", "workflow_finished"}


def directive(recording: Recording) -> str:
    """What the local model is told; nothing where no model was asked."""
    text = compact(recording)
    failed = "completion_request_error" in text or "Run failed" in text
    if is_refused_in_stream(recording) or (recording.status >= 400 and not failed):
        return ""
    if is_stopped(recording):
        return "/slow 5 3"
    if recording.streamed:
        return _of_stream(recording, set(names(recording)), text)
    for word, asked in (
        ('"paused"', "/pause Draft."),
        ("completion_request_error", "/fail now"),
        ("Run failed", "/fail now"),
        ('"status":"failed"', "/fail mid"),
        ('"reasoning":{"', "/reason Let me see."),
        (_NO_MODEL, _PLAIN if '"annotation_reply":{' in text else "/block"),
        ('"retriever_resources":[{', _QUESTION),
    ):
        if word in text:
            return asked
    return _PLAIN


def _of_stream(recording: Recording, kinds: set[str], text: str) -> str:
    if ("error" in kinds or '"status":"failed"' in text) and "message_end" not in kinds:
        if not kinds & {"message", "agent_message", "text_chunk"}:
            return "/fail now"
        return "/fail rate" if "rate_limit_error" in text or "Rate Limit" in text else "/fail mid"
    if _NO_MODEL in text and not kinds & {"node_started", "agent_thought"}:
        return _PLAIN if '"annotation_reply":{' in text else "/block"
    parts = [part for event, part in _GRAPH_PARTS if event in kinds]
    if parts:
        return f"/graph {' '.join(parts)}"
    for name, asked in _BY_EVENT:
        if name in kinds:
            return asked
    answers = [event.get("answer") for event in recording.events if event.get("answer")]
    if not answers and "text_chunk" not in kinds:
        return "/echo"
    tools = [event for event in recording.events if event.get("tool")]
    if not tools and any(event.get("thought") and "message" in kinds for event in recording.events):
        return "/reason Let me see."
    return _QUESTION if tools or '"retriever_resources":[{' in text else _PLAIN


def directive_before(recording: Recording) -> str:
    """What the local model is told in a turn, or a run, that is looked at afterwards."""
    text = compact(recording)
    if '"status":"failed"' in text:
        return "/fail mid"
    if waits(recording):
        return "/pause Draft."
    if '"tool_input":"{' in text or '"retriever_resources":[{' in text:
        return _QUESTION
    return _PLAIN
