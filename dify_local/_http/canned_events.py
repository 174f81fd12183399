"""The response to a question whose canned answer is the stream itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from dify_local._http.event_stream import EventStream
from dify_local._http.requests import Call
from dify_local._protocol.errors import bad_request
from dify_local._protocol.events import PING
from dify_local._protocol.values import JsonObject, new_id
from dify_local._runs.generation import Generation, GenerationStopped


def canned_stream(
    call: Call, generation: Generation, events: list[JsonObject], *, streaming: bool
) -> EventStream:
    """Return the stream of canned events; the ids that they lack are filled in.

    Raises:
        ApiError: The request is a blocking one.
    """
    if not streaming:
        raise bad_request('This canned answer is made of events: ask with "streaming".')
    task_id, journal = generation.task_id, call.service.journal
    return EventStream(_played(call, generation, events), lambda: journal.add_disconnect(task_id))


async def _played(
    call: Call, generation: Generation, events: list[JsonObject]
) -> AsyncGenerator[JsonObject, None]:
    ids: JsonObject = {"task_id": generation.task_id}
    if call.app.mode == "workflow":
        ids["workflow_run_id"] = new_id()
    else:
        ids.update(message_id=generation.message_id, created_at=generation.created_at)
    if generation.conversation_id:
        ids["conversation_id"] = generation.conversation_id
    generations = call.service.generations
    generations[generation.task_id] = generation
    try:
        async for step in generation.play():  # the delay before the first
            if step is PING:
                yield PING
        for event in events:
            async for ping in generation.rest(generation.pace.token_delay):
                yield ping
            yield PING if event.get("event") == "ping" else {**ids, **event}
    except GenerationStopped:
        return
    finally:
        generations.pop(generation.task_id, None)
