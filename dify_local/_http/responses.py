"""JSON responses, and refusals in the shapes that Dify gives them.

Most are `{"code", "message", "status"}`; an unknown address is an HTML page, a crash has its keys
in another order. Handlers raise `ApiError`; the application turns it into the response.
"""

from __future__ import annotations

from http import HTTPStatus

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._protocol.release import Release
from dify_local._protocol.values import spaced_json

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
    """Answer a payload that pydantic refuses; Dify sends pydantic's own report."""
    assert isinstance(error, ValidationError)  # noqa: S101 - registered for this class only
    return json_response(invalid_param(str(error)).body(), HTTPStatus.BAD_REQUEST)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an HTML page for an unknown address, JSON otherwise."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    if error.status_code == HTTPStatus.NOT_FOUND:
        return HTMLResponse(NOT_FOUND_PAGE, HTTPStatus.NOT_FOUND)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    message = "The method is not allowed for the requested URL."
    return json_response(ApiError(error.status_code, code, message).body(), error.status_code)


async def on_crash(request: Request, error: Exception) -> Response:
    """Answer an unexpected exception as Dify does."""
    body = {"message": "Internal Server Error", "code": "unknown", "status": 500}
    return json_response(body, HTTPStatus.INTERNAL_SERVER_ERROR)
