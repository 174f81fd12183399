"""Messages: listing them, rating them, and what to ask next."""

from __future__ import annotations

from datetime import datetime, timezone

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.payloads import FeedbackListQuery, MessageFeedbackPayload, MessageListQuery
from dify_local._http.requests import Call, app_call, json_call, query_call, require_chat_app
from dify_local._http.responses import json_response
from dify_local._protocol.errors import bad_request, invalid_param, not_found
from dify_local._protocol.fields import known
from dify_local._protocol.values import JsonObject, new_id
from dify_local._storage.store import body, dump


async def list_messages(request: Request) -> Response:
    """`GET /messages`: the newest page, oldest first inside the page."""
    call = await query_call(request)
    require_chat_app(call.app)
    query = call.query(MessageListQuery)
    if not query.conversation_id:
        return json_response({"limit": query.limit, "has_more": False, "data": []})
    conversations = call.service.conversations
    if not conversations.find(call.app.id, call.end_user, query.conversation_id):
        raise not_found("Conversation Not Exists.")
    messages = conversations.messages(query.conversation_id)
    if query.first_id:
        ids = [message["id"] for message in messages]
        if query.first_id not in ids:
            raise not_found("First Message Not Exists.")
        messages = messages[: ids.index(query.first_id)]
    page = [_shown(call, message) for message in messages[-query.limit :]]
    has_more = len(messages) > query.limit
    return json_response({"limit": query.limit, "has_more": has_more, "data": page})


def _shown(call: Call, message: JsonObject) -> JsonObject:
    feedback = _feedback(call, message["id"])
    release = call.service.release
    resources = [
        {"id": new_id(), "message_id": new_id(), **_kept(resource), "created_at": None}
        for resource in (
            known(release, "citation", item) for item in message["retriever_resources"]
        )
    ]
    thoughts = [known(release, "agent_thought", thought) for thought in message["agent_thoughts"]]
    return {
        **known(release, "message", message),
        "agent_thoughts": thoughts,
        "retriever_resources": resources,
        "feedback": {"rating": feedback["rating"]} if feedback else None,
    }


def _kept(resource: JsonObject) -> JsonObject:
    dropped = {"retriever_from", "page", "doc_metadata", "title", "files"}
    return {key: value for key, value in resource.items() if key not in dropped}


def _feedback(call: Call, message_id: str) -> JsonObject | None:
    row = call.service.store.row(
        "SELECT body FROM feedbacks WHERE message_id = ? AND end_user_id = ?",
        message_id,
        call.end_user.id,
    )
    return body(row) if row else None


def _message(call: Call) -> JsonObject:
    message_id = call.path("message_id")
    message = call.service.conversations.message(call.app.id, call.end_user, message_id)
    if message is None:
        raise not_found("Message Not Exists.")
    return message


async def give_feedback(request: Request) -> Response:
    """`POST /messages/{message_id}/feedbacks`: one rating for each person and message."""
    call = await json_call(request)
    payload = call.payload(MessageFeedbackPayload)
    message = _message(call)
    store = call.service.store
    if payload.rating is None:
        if not _feedback(call, message["id"]):
            raise invalid_param("rating cannot be None when feedback not exists")
        store.execute(
            "DELETE FROM feedbacks WHERE message_id = ? AND end_user_id = ?",
            message["id"],
            call.end_user.id,
        )
        return json_response({"result": "success"})
    time = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    feedback = {
        "id": new_id(),
        "app_id": call.app.id,
        "conversation_id": message["conversation_id"],
        "message_id": message["id"],
        "rating": payload.rating,
        "content": payload.content,
        "from_source": "user",
        "from_end_user_id": call.end_user.id,
        "from_account_id": None,
        "created_at": time,
        "updated_at": time,
    }
    store.execute(
        "INSERT OR REPLACE INTO feedbacks VALUES (?, ?, ?, ?)",
        message["id"],
        call.end_user.id,
        call.app.id,
        dump(feedback),
    )
    return json_response({"result": "success"})


async def app_feedbacks(request: Request) -> Response:
    """`GET /app/feedbacks`: the ratings of everybody, newest first."""
    call = app_call(request)
    query = call.query(FeedbackListQuery)
    rows = call.service.store.rows(
        "SELECT body FROM feedbacks WHERE app_id = ? ORDER BY rowid DESC LIMIT ? OFFSET ?",
        call.app.id,
        query.limit,
        (query.page - 1) * query.limit,
    )
    return json_response({"data": [body(row) for row in rows]})


async def suggested(request: Request) -> Response:
    """`GET /messages/{message_id}/suggested`."""
    call = await query_call(request, user_required=True)
    require_chat_app(call.app)
    message = _message(call)
    if "suggestions" not in call.app.features:
        raise bad_request("Suggested Questions Is Disabled.")
    questions = call.service.responder.suggested_questions(message["answer"])
    return json_response({"result": "success", "data": questions})


routes = [
    Route("/messages", list_messages),
    Route("/messages/{message_id:uuid}/feedbacks", give_feedback, methods=["POST"]),
    Route("/messages/{message_id:uuid}/suggested", suggested),
    Route("/app/feedbacks", app_feedbacks),
]
