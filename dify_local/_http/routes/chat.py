"""Completion and chat: generating answers, and stopping them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._answers.annotations import annotated_reply
from dify_local._apps.app import App
from dify_local._apps.inputs import checked_inputs
from dify_local._http.canned_events import canned_stream
from dify_local._http.event_stream import EventStream
from dify_local._http.payloads import ChatRequestPayload, CompletionRequestPayload
from dify_local._http.requests import (
    Call,
    check_trace_session_id,
    json_call,
    require_chat_app,
    require_completion_app,
)
from dify_local._http.responses import json_response
from dify_local._http.routes import chatflow
from dify_local._protocol.errors import ApiError, bad_request, invalid_param, not_found
from dify_local._protocol.events import EventSource
from dify_local._protocol.values import JsonObject, new_id
from dify_local._runs.generation import Generation
from dify_local._runs.message_events import MessageEvents
from dify_local._storage.conversations import message_object


async def completion_messages(request: Request) -> Response:
    """`POST /completion-messages`."""
    call = await json_call(request)
    require_completion_app(call.app)
    check_trace_session_id(call)
    payload = call.payload(CompletionRequestPayload)
    inputs = checked_inputs(call.app, payload.inputs)
    query = call.app.question(inputs, payload.query)
    generation = _generation(call, query, inputs, payload.files, None)
    return await _answer(call, generation, streaming=payload.response_mode == "streaming")


async def chat_messages(request: Request) -> Response:
    """`POST /chat-messages`."""
    call = await json_call(request)
    require_chat_app(call.app)
    check_trace_session_id(call)
    payload = call.payload(ChatRequestPayload)
    if not payload.query.strip() and call.app.mode == "agent":
        raise invalid_param("query is required")
    if not payload.query and call.app.mode != "advanced-chat":
        raise invalid_param("query is required")
    streaming = _streaming(call.app, payload.response_mode)
    if payload.conversation_id and not _conversation_exists(call, payload.conversation_id):
        raise not_found(_with_hint("Conversation Not Exists.", "/v1/chat-messages"))
    if call.app.mode == "advanced-chat":
        return await chatflow.answer(call, payload, streaming=streaming)
    inputs = checked_inputs(call.app, payload.inputs)
    conversation_id = payload.conversation_id or call.service.conversations.start(
        call.app.id, call.end_user, payload.query, inputs, call.app.opening
    )
    generation = _generation(call, payload.query, inputs, payload.files, conversation_id)
    return await _answer(call, generation, streaming=streaming)


def _streaming(app: App, response_mode: str | None) -> bool:
    if app.mode == "agent":
        if response_mode == "blocking":
            raise bad_request("Agent App does not support blocking mode")
        return True
    if app.mode == "agent-chat" and response_mode != "streaming":
        raise invalid_param("Agent Chat App does not support blocking mode")
    return response_mode == "streaming"


def _conversation_exists(call: Call, conversation_id: str) -> bool:
    conversations = call.service.conversations
    return conversations.find(call.app.id, call.end_user, conversation_id) is not None


def _with_hint(message: str, path: str) -> str:
    # Since 1.8 the web framework adds a guess at the address that was meant.
    return f"{message} You have requested this URI [{path}] but did you mean {path} ?"


def _generation(
    call: Call,
    query: str,
    inputs: JsonObject,
    files: list[JsonObject] | None,
    conversation_id: str | None,
) -> Generation:
    service = call.service
    message_id = new_id()
    history = service.conversations.history(conversation_id) if conversation_id else []
    attached = service.uploads.attach(call.app.id, call.end_user, files, message_id)
    images = service.images(attached)
    reply = annotated_reply(service.store, call.app.id, query) or service.responder.reply(
        call.app, query, inputs, history, images
    )
    return Generation(
        call.app,
        call.end_user,
        query,
        inputs,
        attached,
        reply,
        service.pace,
        conversation_id,
        message_id=message_id,
    )


async def _answer(call: Call, generation: Generation, *, streaming: bool) -> Response:
    service, canned = call.service, generation.reply.events
    if canned is not None:
        return canned_stream(call, generation, canned, streaming=streaming)
    answer = MessageEvents(
        generation, service.knowledge, service.uploads, service.release, service.auto_tts
    )
    _save(call, answer, answered=False)
    events = _recorded(call, answer)
    if streaming:
        task_id = generation.task_id
        return EventStream(
            events,
            lambda: service.journal.add_disconnect(task_id),
            spaced=not service.release.since(1, 8, 1),
        )
    async for _ in events:
        pass
    if answer.failure:
        # A blocking answer reports every failure of a model as the same 400.
        raise ApiError(400, "completion_request_error", answer.failure.message)
    return json_response(answer.blocking(), generation=True)


async def _recorded(call: Call, answer: MessageEvents) -> EventSource:
    """Yield the events while the generation can be stopped, and save the answer at their end.

    A client that leaves early leaves an empty answer behind, as it does on real servers.
    """
    generations = call.service.generations
    generation = answer.generation
    generations[generation.task_id] = generation
    try:
        async for event in answer.events():
            if event["event"] in {"message_end", "error"}:
                _save(call, answer, answered=True)
            yield event
    finally:
        generations.pop(generation.task_id, None)


def _save(call: Call, answer: MessageEvents, *, answered: bool) -> None:
    generation = answer.generation
    message = message_object(
        generation.message_id,
        generation.conversation_id or "",
        generation.query,
        generation.inputs,
    )
    message["created_at"] = generation.created_at
    uploads = call.service.uploads
    message["message_files"] = [uploads.message_file(file) for file in generation.files]
    if answered:
        usage = generation.usage()
        message.update(
            answer="" if answer.failure else generation.answer,
            status="error" if answer.failure else "normal",
            error=answer.failure.message if answer.failure else None,
            agent_thoughts=answer.thoughts,
            retriever_resources=call.service.knowledge.citations(generation.reply.hits),
            message_files=[*message["message_files"], *answer.message_files],
            message_tokens=usage["prompt_tokens"],
            answer_tokens=usage["completion_tokens"],
            total_tokens=usage["total_tokens"],
            total_price=usage["total_price"],
            provider_response_latency=usage["latency"],
        )
    call.service.conversations.save_message(
        call.app.id, call.end_user, generation.conversation_id or "", message
    )


async def stop_completion(request: Request) -> Response:
    """`POST /completion-messages/{task_id}/stop`."""
    call = await json_call(request)
    require_completion_app(call.app)
    return _stop(call)


async def stop_chat(request: Request) -> Response:
    """`POST /chat-messages/{task_id}/stop`."""
    call = await json_call(request)
    require_chat_app(call.app)
    return _stop(call)


def _stop(call: Call) -> Response:
    # A chatflow stops whoever asks; the others only for the person who asked the question.
    same_user_only = call.app.mode != "advanced-chat"
    call.service.stop(call.path("task_id"), call.end_user, same_user_only=same_user_only)
    return json_response({"result": "success"})


routes = [
    Route("/completion-messages", completion_messages, methods=["POST"]),
    Route("/completion-messages/{task_id}/stop", stop_completion, methods=["POST"]),
    Route("/chat-messages", chat_messages, methods=["POST"]),
    Route("/chat-messages/{task_id}/stop", stop_chat, methods=["POST"]),
]
