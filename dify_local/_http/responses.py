"""JSON responses, and refusals in the shapes that Dify gives them.

Most are `{"code", "message", "status"}`; an unknown address is an HTML page, a crash has its keys
in another order. Handlers raise `ApiError`; the application turns it into the response.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dify_local._protocol.errors import ApiError, DifyCrash, invalid_param
from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject, spaced_json

_logger = logging.getLogger("dify_local")

NOT_FOUND_PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
    "<p>The requested URL was not found on the server. If you entered the URL manually please "
    "check your spelling and try again.</p>\n"
)


def json_response(value: object, status: int = 200, *, generation: bool = False) -> Response:
    """Return a JSON response as Dify writes it.

    Args:
        value: Anything JSON can hold.
        status: HTTP status.
        generation: Whether this answers a generation endpoint; those name their charset.
    """
    media_type = "application/json; charset=utf-8" if generation else "application/json"
    body = spaced_json(value) + ("" if generation else "\n")
    return Response(body, status, headers={"content-type": media_type})


def deleted(release: Release) -> Response:
    """Return the answer to a deletion: nothing, or before 1.13 the number of its status."""
    if release.since(1, 13) or not release.since(1, 0):
        return Response(status_code=204, headers={"content-type": "application/json"})
    return json_response(204)


async def on_api_error(request: Request, error: Exception) -> Response:
    """Answer an `ApiError`."""
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this class only
    response = json_response(error.body(), error.status)
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = 'Bearer realm="api"'
    return response


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer a payload that pydantic refuses; since 1.11 Dify sends pydantic's own report."""
    assert isinstance(error, ValidationError)  # noqa: S101 - registered for this class only
    if not _release(request).since(1, 11):
        return json_response(_old_refusal(error), HTTPStatus.BAD_REQUEST)
    return json_response(invalid_param(str(error)).body(), HTTPStatus.BAD_REQUEST)


def _old_refusal(error: ValidationError) -> JsonObject:
    first = error.errors()[0]
    message = first["msg"]
    if first["type"] == "missing":
        message = "Missing required parameter in the JSON body"
    return {"code": "invalid_param", "message": message, "params": str(first["loc"][0])}


def _release(request: Request) -> Release:
    release = request.app.state.service.release
    assert isinstance(release, Release)  # noqa: S101 - set when the application is made
    return release


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an HTML page for an unknown address, JSON otherwise.

    No route names OPTIONS, so a browser's question what it may send arrives here as well.
    """
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    if error.status_code == HTTPStatus.NOT_FOUND:
        return HTMLResponse(NOT_FOUND_PAGE, HTTPStatus.NOT_FOUND)
    if request.method == "OPTIONS":
        return _options(error.headers or {})
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    message = "The method is not allowed for the requested URL."
    return json_response(ApiError(error.status_code, code, message).body(), error.status_code)


def _options(refusal: Mapping[str, str]) -> Response:
    allowed = refusal.get("Allow", "").replace(" ", "").split(",")
    return HTMLResponse("", headers={"allow": ", ".join(sorted({*allowed, "OPTIONS"}))})


async def on_crash(request: Request, error: Exception) -> Response:
    """Answer as Dify does when it crashes."""
    if isinstance(error, DifyCrash):
        _logger.warning("%s %s: Dify crashes here. %s", request.method, request.url.path, error)
    body: JsonObject = {"message": "Internal Server Error", "code": "unknown"}
    if _release(request).since(1, 8):
        body["status"] = 500
    return json_response(body, HTTPStatus.INTERNAL_SERVER_ERROR)
