"""What an app is: its information, parameters, icons and site."""

from __future__ import annotations

from datetime import datetime, timezone

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._answers.annotations import annotation_reply
from dify_local._http.requests import app_call, service_of
from dify_local._http.responses import json_response
from dify_local._protocol.errors import ApiError
from dify_local._protocol.fields import known
from dify_local._storage.files import TENANT_ID


async def index(request: Request) -> Response:
    """`GET /v1`: a welcome, without a key."""
    version = service_of(request).release.version
    return json_response(
        {"welcome": "Dify OpenAPI", "api_version": "v1", "server_version": version}
    )


async def info(request: Request) -> Response:
    """`GET /info`."""
    call = app_call(request)
    return json_response(known(call.service.release, "info", call.app.info()))


async def parameters(request: Request) -> Response:
    """`GET /parameters`."""
    call = app_call(request)
    parameters = call.app.parameters(auto_play=call.service.auto_tts)
    parameters["annotation_reply"] = annotation_reply(call.service.store, call.app.id)
    return json_response(parameters)


async def meta(request: Request) -> Response:
    """`GET /meta`."""
    call = app_call(request)
    icons = {}
    if call.app.mode in {"agent-chat", "agent"}:
        icons = {"calculator": {"background": "#E4FBCC", "content": "🧮"}}
    return json_response({"tool_icons": icons})


async def site(request: Request) -> Response:
    """`GET /site`."""
    call = app_call(request)
    app = call.app
    site = {
        "title": app.title,
        "chat_color_theme": None,
        "chat_color_theme_inverted": False,
        "icon_type": "emoji",
        "icon": "🪐",
        "icon_background": "#FFEAD5",
        "description": app.description,
        "copyright": None,
        "privacy_policy": None,
        "input_placeholder": None,
        "custom_disclaimer": "",
        "default_language": "en-US",
        "show_workflow_steps": True,
        "use_icon_as_answer_icon": False,
        "icon_url": None,
    }
    return json_response(known(call.service.release, "site", site))


async def end_user(request: Request) -> Response:
    """`GET /end-users/{end_user_id}`."""
    call = app_call(request)
    found = call.service.store.end_user_by_id(call.app.id, call.path("end_user_id"))
    if found is None:
        raise ApiError(404, "end_user_not_found", "End user not found.")
    time = datetime.fromtimestamp(found.created_at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return json_response(
        {
            "id": found.id,
            "tenant_id": TENANT_ID,
            "app_id": found.app_id,
            "type": "service-api",
            "external_user_id": found.session_id,
            "name": None,
            "is_anonymous": False,
            "session_id": found.session_id,
            "created_at": time,
            "updated_at": time,
        }
    )


routes = [
    Route("/info", info),
    Route("/parameters", parameters),
    Route("/meta", meta),
    Route("/site", site),
    Route("/end-users/{end_user_id:uuid}", end_user),
]
