"""Refusals: an HTTP status and one of Dify's error codes."""

from __future__ import annotations

from dify_local._protocol.values import JsonObject


class ApiError(Exception):
    """A refusal with an HTTP status and one of Dify's error codes.

    Args:
        status: HTTP status.
        code: Dify's error code, such as `invalid_param`.
        message: Human-readable explanation.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> JsonObject:
        """Return the JSON body of the refusal."""
        return {"code": self.code, "message": self.message, "status": self.status}


class DifyCrash(Exception):  # noqa: N818 - it is Dify that errs
    """A request at which real servers crash: the client gets their 500."""


def invalid_param(message: str) -> ApiError:
    """Return the refusal of a wrong value: 400 `invalid_param`."""
    return ApiError(400, "invalid_param", message)


def bad_request(message: str) -> ApiError:
    """Return the refusal of a request that makes no sense: 400 `bad_request`."""
    return ApiError(400, "bad_request", message)


def not_found(message: str) -> ApiError:
    """Return the refusal for something that is not there: 404 `not_found`."""
    return ApiError(404, "not_found", message)


def unauthorized(message: str) -> ApiError:
    """Return the refusal of a key: 401 `unauthorized`."""
    return ApiError(401, "unauthorized", message)
