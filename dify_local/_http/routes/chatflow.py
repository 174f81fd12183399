"""Answering through a chatflow: `POST /chat-messages` of apps of mode `advanced-chat`."""

from __future__ import annotations

from starlette.responses import Response

from dify_local._answers.annotations import annotated_reply
from dify_local._apps.inputs import checked_inputs
from dify_local._http.canned_events import canned_stream
from dify_local._http.event_stream import EventStream
from dify_local._http.payloads import ChatRequestPayload
from dify_local._http.requests import Call
from dify_local._http.responses import json_response
from dify_local._http.routes.workflows import (
    refusal_stream,
    require_published,
    run_stream,
    with_files,
)
from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._protocol.events import PING, EventSource
from dify_local._protocol.values import JsonObject, new_id, now
from dify_local._runs import execution, run_records
from dify_local._runs.generation import Generation
from dify_local._runs.run_events import RunEvents, refused_run
from dify_local._runs.workflow_run import WorkflowRun
from dify_local._storage.store import dump


async def answer(call: Call, payload: ChatRequestPayload, *, streaming: bool) -> Response:
    """Answer a checked request."""
    if payload.workflow_id:
        require_published(call.app, payload.workflow_id)
    try:
        if not payload.query:
            raise invalid_param("query is required")
        inputs, inside = with_files(call, checked_inputs(call.app, payload.inputs))
        generation = _generation(call, payload, inputs, inside)
    except ApiError as error:
        # From 1.13 on a worker checks the inputs, when the stream has begun already.
        if streaming and call.service.release.resumable:
            return refusal_stream(call, error)
        raise
    if generation.reply.events is not None:
        return canned_stream(call, generation, generation.reply.events, streaming=streaming)
    if generation.reply.preset:
        return await _preset(call, generation, streaming=streaming)
    _remember(call, generation)
    run = execution.start(call.service, generation)
    if streaming:
        return run_stream(call, run)
    async for _ in run.watch():
        pass
    if run.status == "failed":
        raise invalid_param(f"Run failed: {run.error}")
    return json_response(_blocking(call, run), generation=True)


def _generation(
    call: Call, payload: ChatRequestPayload, inputs: JsonObject, inside: list[JsonObject]
) -> Generation:
    service = call.service
    message_id = new_id()
    files = service.uploads.attach(call.app.id, call.end_user, payload.files, message_id)
    conversation_id = payload.conversation_id or service.conversations.start(
        call.app.id, call.end_user, payload.query, inputs, call.app.opening
    )
    history = service.conversations.history(conversation_id)
    images = service.images([*files, *inside])
    reply = annotated_reply(service.store, call.app.id, payload.query) or service.responder.reply(
        call.app, payload.query, inputs, history, images
    )
    return Generation(
        call.app,
        call.end_user,
        payload.query,
        inputs,
        files,
        reply,
        service.pace,
        conversation_id,
        message_id=message_id,
    )


async def _preset(call: Call, generation: Generation, *, streaming: bool) -> Response:
    """Answer by an annotation, or as moderation answers: the workflow does not run.

    Where a worker answers, the stream misses the end of a run; since 1.16 it makes one up.
    """
    service = call.service
    run = WorkflowRun(generation, status="succeeded")
    events = RunEvents(service, run)
    async for step in generation.play():
        assert isinstance(step, str)  # noqa: S101 - a preset is nothing but text
    run_records.save_message(service, run)
    if not streaming:
        return json_response(_blocking(call, run), generation=True)
    shown = [
        {**events.text(generation.answer, "answer"), "from_variable_selector": None},
        events.message_end(),
    ]
    if service.release.resumable:
        shown.insert(0, PING)
    if service.release.since(1, 16):
        shown.extend(refused_run(call.app.workflow_id, _NO_END))
    return EventStream(_each(shown), lambda: None)


_NO_END = "Workflow stream ended without a terminal event"


async def _each(events: list[JsonObject]) -> EventSource:
    for event in events:
        yield event


def _remember(call: Call, generation: Generation) -> None:
    """Set the conversation variables, as the assigner node of a chatflow does."""
    conversation_id = generation.conversation_id or ""
    turns = len(call.service.conversations.history(conversation_id)) + 1
    values = {
        "last_query": ("string", generation.query),
        "turns": ("number", turns),
        "topics": ("array[string]", [hit.document.title for hit in generation.reply.hits]),
        "settings": ("object", {"lang": generation.inputs.get("lang")}),
    }
    store = call.service.store
    for name, (value_type, value) in values.items():
        variable = {
            "id": new_id(),
            "name": name,
            "value_type": value_type,
            "value": value,
            "description": f"{name} of this conversation",
            "created_at": now(),
            "updated_at": now(),
        }
        updated = store.execute(
            "UPDATE variables SET body = json_set(body, '$.value', json(?), '$.updated_at', ?) "
            "WHERE conversation_id = ? AND json_extract(body, '$.name') = ?",
            dump_value(value), now(), conversation_id, name,
        )  # fmt: skip
        if not updated.rowcount:
            store.execute(
                "INSERT INTO variables VALUES (?, ?, ?)",
                variable["id"],
                conversation_id,
                dump(variable),
            )


def dump_value(value: object) -> str:
    """Return the JSON text of any value."""
    return dump({"value": value})[len('{"value": ') : -1]


def _blocking(call: Call, run: WorkflowRun) -> JsonObject:
    generation, events = run.generation, RunEvents(call.service, run)
    common = {
        "task_id": generation.task_id,
        "id": generation.message_id,
        "message_id": generation.message_id,
        "conversation_id": generation.conversation_id,
        "mode": "advanced-chat",
        "answer": generation.answer,
        "metadata": events.metadata(),
        "created_at": generation.created_at,
    }
    if run.status != "paused":
        return {"event": "message", **common}
    paused = events.pause()[-1]["data"]
    data = {**common, **paused, "id": generation.message_id}
    for name in ("task_id", "outputs"):
        del data[name]
    return {"event": "workflow_paused", **common, "workflow_run_id": run.id, "data": data}
