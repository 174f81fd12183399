"""Conversations and their variables."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.payloads import (
    ConversationListQuery,
    ConversationRenamePayload,
    ConversationVariablesQuery,
    ConversationVariableUpdatePayload,
)
from dify_local._http.requests import Call, json_call, query_call, require_chat_app
from dify_local._http.responses import json_response
from dify_local._protocol.errors import DifyCrash, bad_request, invalid_param, not_found
from dify_local._protocol.values import JsonObject, now
from dify_local._storage.store import body, dump

_LONGEST_NAME = 255

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "object": (dict,),
    "array[string]": (list,),
}


async def list_conversations(request: Request) -> Response:
    """`GET /conversations`."""
    call = await query_call(request)
    require_chat_app(call.app)
    query = call.query(ConversationListQuery)
    try:
        page, has_more = call.service.conversations.page(
            call.app.id,
            call.end_user,
            last_id=query.last_id,
            limit=query.limit,
            sort_by=query.sort_by,
        )
    except KeyError:
        raise not_found("Last Conversation Not Exists.") from None
    return json_response({"limit": query.limit, "has_more": has_more, "data": page})


def _conversation(call: Call) -> JsonObject:
    require_chat_app(call.app)
    conversation_id = call.path("conversation_id")
    found = call.service.conversations.find(call.app.id, call.end_user, conversation_id)
    if found is None:
        raise not_found("Conversation Not Exists.")
    return found


async def delete_conversation(request: Request) -> Response:
    """`DELETE /conversations/{conversation_id}`; the person is named in a JSON body."""
    call = await json_call(request, user_required=False)
    release = call.service.release
    if release.since(1, 8) and not release.since(1, 13):
        # It was anybody's to delete, and as often as one liked.
        conversation_id = call.path("conversation_id")
    else:
        conversation_id = _conversation(call)["id"]
    call.service.conversations.delete(conversation_id)
    if not release.since(1, 3, 1):
        return json_response({"result": "success"})
    return Response(status_code=204)


async def rename_conversation(request: Request) -> Response:
    """`POST /conversations/{conversation_id}/name`."""
    call = await json_call(request, user_required=False)
    conversation = _conversation(call)
    payload = call.payload(ConversationRenamePayload)
    name = payload.name or ""
    if payload.auto_generate:
        history = call.service.conversations.history(conversation["id"])
        name = f"Title: {history[0].query}" if history else "New conversation"
    if len(name) > _LONGEST_NAME:
        raise DifyCrash("The name is too long for its column")
    call.service.conversations.rename(conversation["id"], name)
    return json_response(_conversation(call))


async def list_variables(request: Request) -> Response:
    """`GET /conversations/{conversation_id}/variables`; every value is shown as text."""
    call = await query_call(request)
    conversation = _conversation(call)
    query = call.query(ConversationVariablesQuery)
    rows = call.service.store.rows(
        "SELECT body FROM variables WHERE conversation_id = ? ORDER BY rowid", conversation["id"]
    )
    variables = [_shown(body(row)) for row in rows]
    if query.variable_name:
        wanted = query.variable_name.lower()
        variables = [variable for variable in variables if wanted in variable["name"].lower()]
    page = variables[: query.limit]
    has_more = len(variables) > query.limit
    return json_response({"limit": query.limit, "has_more": has_more, "data": page})


async def update_variable(request: Request) -> Response:
    """`PUT /conversations/{conversation_id}/variables/{variable_id}`."""
    call = await json_call(request, user_required=False)
    conversation = _conversation(call)
    payload = call.payload(ConversationVariableUpdatePayload)
    variable_id = call.path("variable_id")
    store = call.service.store
    row = store.row(
        "SELECT body FROM variables WHERE id = ? AND conversation_id = ?",
        variable_id,
        conversation["id"],
    )
    if row is None:
        raise not_found("Conversation Variable Not Exists.")
    variable = body(row)
    kind = variable["value_type"]
    if not isinstance(payload.value, _TYPES[kind]):
        given = type(payload.value).__name__
        raise bad_request(f"Type mismatch: variable expects {kind}, but got {given} type")
    if isinstance(payload.value, float) and not payload.value.is_integer():
        raise invalid_param("not supported value type integer")
    variable.update(value=payload.value, updated_at=now())
    store.execute("UPDATE variables SET body = ? WHERE id = ?", dump(variable), variable_id)
    return json_response(_shown(variable))


def _shown(variable: JsonObject) -> JsonObject:
    # Dify shows Python's own text of a value, not JSON.
    return {**variable, "value": str(variable["value"])}


routes = [
    Route("/conversations", list_conversations),
    Route("/conversations/{conversation_id:uuid}", delete_conversation, methods=["DELETE"]),
    Route("/conversations/{conversation_id:uuid}/name", rename_conversation, methods=["POST"]),
    Route("/conversations/{conversation_id:uuid}/variables", list_variables),
    Route(
        "/conversations/{conversation_id:uuid}/variables/{variable_id:uuid}",
        update_variable,
        methods=["PUT"],
    ),
]
