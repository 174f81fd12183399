"""What every route does first: find the app of the key, the person, and the payload."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.datastructures import UploadFile
from starlette.requests import Request

from dify_local._apps.app import CHAT_MODES, WORKFLOW_MODES, App
from dify_local._protocol.errors import (
    ApiError,
    DifyCrash,
    bad_request,
    invalid_param,
    unauthorized,
)
from dify_local._protocol.values import JsonObject, compact_json, is_uuid
from dify_local._runs.service import DATASET_KEY, Service
from dify_local._storage.store import EndUser

DEFAULT_USER = "DEFAULT-USER"
_LONGEST_USER = 255
_LONGEST_TRACE_SESSION_ID = 200
_WRONG_MODE = "Please check if your app mode matches the right API route."

Payload = TypeVar("Payload", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """An accepted request.

    Attributes:
        service: The running service.
        request: The request itself.
        app: The app of its key.
        end_user: Who calls.
        body: The JSON body; empty where there is none.
    """

    service: Service
    request: Request
    app: App
    end_user: EndUser
    body: JsonObject

    def payload(self, model: type[Payload]) -> Payload:
        """Return the JSON body as a checked payload."""
        return model.model_validate(self.body)

    def query(self, model: type[Payload]) -> Payload:
        """Return the query parameters as a checked payload."""
        return model.model_validate(dict(self.request.query_params))

    def path(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.request.path_params[name])


def service_of(request: Request) -> Service:
    """Return the service that a request has reached."""
    service = request.app.state.service
    assert isinstance(service, Service)  # noqa: S101 - set when the application is made
    return service


def bearer_token(request: Request) -> str:
    """Return the key of a request.

    Raises:
        ApiError: There is none, or it is not a bearer token.
    """
    header = request.headers.get("authorization", "").strip()
    scheme, _, token = header.partition(" ")
    if not token:
        raise unauthorized("Authorization header must be provided and start with 'Bearer'")
    if scheme.lower() != "bearer":
        raise unauthorized("Authorization scheme must be 'Bearer'")
    return token.strip()


def app_of(request: Request) -> App:
    """Return the app whose key came with a request.

    Raises:
        ApiError: The key is no app's.
    """
    app = service_of(request).apps.get(bearer_token(request))
    if app is None:
        raise unauthorized("Access token is invalid")
    return app


def require_dataset_key(request: Request) -> None:
    """Refuse a request to the knowledge base that has no dataset key."""
    if bearer_token(request) != DATASET_KEY:
        raise unauthorized("Access token is invalid")


async def json_body(request: Request) -> JsonObject:
    """Return the JSON object of a request.

    Raises:
        ApiError: The content type is not JSON, or the text is not; half of a surrogate pair is no
            text either.
        DifyCrash: The JSON is no object.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise ApiError(
            415,
            "unsupported_media_type",
            "Did not attempt to load JSON data because the request Content-Type was not "
            "'application/json'.",
        )
    try:
        body = json.loads(await request.body())
        compact_json(body).encode()
    except ValueError:
        raise bad_request(
            "The browser (or proxy) sent a request that this server could not understand."
        ) from None
    if not isinstance(body, dict):
        raise DifyCrash("The body is no object")
    return body


async def json_call(request: Request, *, user_required: bool = True) -> Call:
    """Accept a request that has its `user` in a JSON body."""
    app = app_of(request)
    body = await json_body(request)
    return _call(request, app, body.get("user"), body, user_required=user_required)


async def query_call(request: Request, *, user_required: bool = False) -> Call:
    """Accept a request that has its `user` in the query."""
    app = app_of(request)
    user = request.query_params.get("user")
    return _call(request, app, user, {}, user_required=user_required)


@dataclass(frozen=True)
class UploadedFile:
    """The `file` part of a multipart request."""

    filename: str
    content_type: str
    content: bytes


async def form_call(request: Request) -> tuple[Call, UploadedFile | None, int]:
    """Accept a multipart request; return it with its `file` and the number of parts that are files.

    Parts of the same name count once, as they do at Dify: all but the first are ignored.
    """
    app = app_of(request)
    async with request.form() as form:
        files = {name for name, value in form.multi_items() if isinstance(value, UploadFile)}
        part = next((item for item in form.getlist("file")), None)
        file = None
        if isinstance(part, UploadFile):
            content = await part.read()
            file = UploadedFile(part.filename or "", part.content_type or "", content)
        user = form.get("user")
    return _call(request, app, user, {}, user_required=False), file, len(files)


def app_call(request: Request) -> Call:
    """Accept a request that is about the app, not about a person."""
    return _call(request, app_of(request), None, {}, user_required=False)


def _call(
    request: Request, app: App, user: object, body: JsonObject, *, user_required: bool
) -> Call:
    if not user and user_required:
        raise invalid_param("Arg user must be provided.")
    if len(str(user)) > _LONGEST_USER:
        raise DifyCrash("The user is too long for its column")
    service = service_of(request)
    end_user = service.store.end_user(app.id, str(user or DEFAULT_USER))
    return Call(service, request, app, end_user, body)


def check_trace_session_id(call: Call) -> None:
    """Refuse a `trace_session_id` that is none; from 1.16 on, generations take one.

    The header counts first, then the query, then the body.
    """
    if not call.service.release.since(1, 16):
        return
    for given in (call.request.headers, call.request.query_params, call.body):
        name = "x-trace-session-id" if given is call.request.headers else "trace_session_id"
        if name in given:
            value = given[name]
            if not isinstance(value, str):
                raise bad_request("trace_session_id must be a string.")
            if not 1 <= len(value.strip()) <= _LONGEST_TRACE_SESSION_ID:
                raise bad_request("trace_session_id must be 1 to 200 characters after trimming.")
            return


def require_chat_app(app: App) -> None:
    """Refuse an app without conversations."""
    if app.mode not in CHAT_MODES:
        raise ApiError(400, "not_chat_app", _WRONG_MODE)


def require_completion_app(app: App) -> None:
    """Refuse an app that is not a completion app."""
    if app.mode != "completion":
        raise ApiError(
            400, "app_unavailable", "App unavailable, please check your app configurations."
        )


def require_workflow_app(app: App, *, chatflow: bool = False) -> None:
    """Refuse an app without workflow runs.

    Args:
        app: The app.
        chatflow: Whether a chatflow will do.
    """
    if app.mode != "workflow" and not (chatflow and app.mode in WORKFLOW_MODES):
        raise ApiError(400, "not_workflow_app", _WRONG_MODE)


def require_uuid(value: str) -> str:
    """Return a path id, where the route does not check it.

    Raises:
        DifyCrash: The id is not a UUID.
    """
    if not is_uuid(value):
        raise DifyCrash("The id is not a UUID")
    return str(uuid.UUID(value))
