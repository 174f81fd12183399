"""A server's reply -> a result or an error. Pure: status, headers and body in.

Body shapes are those of releases 0.3.0 to 1.16.0: JSON with and without `status` and `code`,
validation reports, HTML pages of proxies, nothing at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.util import find_spec
from types import NoneType
from typing import Any, TypeVar, cast

from dify_api import errors
from dify_api._advice import Advice
from dify_api._class_tree import class_tree
from dify_api.errors import DifyError, StatusError
from dify_api.knowledge_errors import KnowledgeQuotaError, KnowledgeRateLimitError
from dify_api.models import decode, out_of_envelope
from dify_api.operation import Operation

T = TypeVar("T")

OWN_ADVICE = Advice()

PROXY_CREDENTIALS_HINT = (
    "Give the proxy's user name and password in its URL (proxy, or HTTPS_PROXY, HTTP_PROXY and "
    'ALL_PROXY of the environment): "http://user:password@proxy.example.com:3128".'
)

_KINDS = list(class_tree(StatusError))  # those of `knowledge_errors` are loaded, too
_BY_CODE = {code: kind for kind in _KINDS for code in kind.codes}
_BY_STATUS: dict[int | None, type[StatusError]] = {
    kind.http_status: kind for kind in _KINDS if kind.http_status
}


def result_from_reply(
    operation: Operation[T], status: int, headers: Mapping[str, str], body: bytes
) -> T:
    """The result of `operation` that a reply below 300 holds.

    Args:
        operation: What was asked.
        status: HTTP status.
        headers: Response headers, names in lower case or a case-insensitive mapping.
        body: The whole body.

    Raises:
        UnexpectedReplyError: If the reply is none to this operation.
    """
    if operation.result is NoneType and not body.lstrip().startswith(b"<"):  # a page
        return cast("T", None)
    if operation.result is bytes:
        if not (is_json(headers) and body.strip() == b"null"):
            return cast("T", body)
        problem = "the server has no file for this"  # speech of an unknown message
        hint = None
    else:
        try:
            value = json.loads(body)
            return decode(
                operation.result, out_of_envelope(value) if operation.enveloped else value
            )
        except (ValueError, RecursionError):
            problem = f"the reply is not the {operation.result.__name__} that was asked for"
            hint = 'Check base_url: it ends in "/v1" on a standard installation.'
    raise errors.UnexpectedReplyError(problem, status=status, operation=operation.name, hint=hint)


_DECODERS = {"br": ("brotli", "brotlicffi"), "zstd": ("zstandard",)}


def is_readable(headers: Mapping[str, str]) -> bool:
    """Whether a body can be decompressed here; none is asked for, but proxies do as they like."""
    return _unknown_coding(headers) is None


def _unknown_coding(headers: Mapping[str, str]) -> str | None:
    for coding in headers.get("content-encoding", "").lower().split(","):
        packages = _DECODERS.get(coding.strip())
        if packages and not any(find_spec(name) for name in packages):
            return coding.strip()
    return None


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether a body is JSON by its headers."""
    return headers.get("content-type", "").startswith("application/json")


def older_call(
    operation: Operation[T], status: int, headers: Mapping[str, str]
) -> Operation[T] | None:
    """The call to make instead where a server does not know `operation`, which then did nothing.

    An unknown method is a 405, an unknown path a 404 with a page; what Dify itself does not find
    is a 404 in JSON.

    Args:
        operation: What was asked.
        status: HTTP status.
        headers: Response headers.
    """
    unknown = status == 405 or (status == 404 and not is_json(headers))
    return operation.older if unknown else None


def error_from_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    operation: str,
    advice: Advice = OWN_ADVICE,
) -> DifyError:
    """The error that an HTTP reply of 300 or above means, or one that is not readable.

    Args:
        status: HTTP status.
        headers: Response headers, names in lower case or a case-insensitive mapping.
        body: The body as sent, of any shape.
        operation: Method and path, for the message.
        advice: What hints say in the words of who asks.
    """
    if coding := _unknown_coding(headers):
        if status < 300:
            return errors.UnexpectedReplyError(
                f"the body is compressed as {coding!r}, which was not asked for",
                status=status,
                operation=operation,
                hint=f"Switch that off in the proxy, or install {_DECODERS[coding][0]}.",
            )
        body = b""
    if status < 400:
        return errors.UnexpectedReplyError(
            f"the server redirects to {headers.get('location', 'elsewhere')}",
            status=status,
            operation=operation,
            hint="Redirects are not followed with an API key: set base_url to the final address.",
        )
    report = _json_object(body)
    code = report.get("code") or _code_in(report.get("error")) or _slug(status)
    return error_from_code(
        str(code),
        status,
        _message(report, body, headers),
        operation=operation,
        retry_after=_retry_after(headers.get("retry-after")),
        advice=advice,
    )


def error_from_code(
    code: str | None,
    status: int | None,
    message: str,
    *,
    operation: str,
    retry_after: float | None = None,
    advice: Advice = OWN_ADVICE,
) -> StatusError:
    """The error of a `code`, as sent in a body or in an `error` event."""
    kind = _BY_CODE.get(code or "") or _BY_STATUS.get(status)
    if kind is None:
        kind = errors.ServerError if (status or 0) >= 500 else StatusError
    turned_away = status == 429 or (status == 400 and code == "invalid_param")
    if turned_away and message.startswith("Too many requests"):
        kind = errors.TooManyRequestsError
    elif status == 403 and "knowledge base request rate limit" in message:
        kind = KnowledgeRateLimitError
    elif status == 403 and "reached the limit of your subscription" in message:
        kind = KnowledgeQuotaError
    elif kind is errors.NotFoundError and message.startswith("Conversation Not Exists"):
        kind = errors.ConversationNotFoundError
    return kind(
        message,
        code=code,
        status=status,
        operation=operation,
        hint=_hint_on_the_way(status, message) or _hint(kind, message, operation, advice),
        retry_after=retry_after,
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _code_in(error: object) -> str | None:
    """The code in an `error`, which may also be a sentence (segments, 1.16.1)."""
    return error if isinstance(error, str) and " " not in error else None


def _slug(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "_")
    except ValueError:
        return f"http_{status}"


def _message(report: dict[str, Any], body: bytes, headers: Mapping[str, str]) -> str:
    details = report.get("errors")
    if isinstance(details, dict) and details:  # 1.8.0 to 1.10.x
        named = "; ".join(f"{field}: {text}" for field, text in details.items())
        return f"{report.get('message', 'Input payload validation failed')} ({named})"
    told = report.get("message") or (None if _code_in(report.get("error")) else report.get("error"))
    if told:
        return str(told)
    text = body.decode("utf-8", "replace").strip()
    if "html" in headers.get("content-type", "") or text.startswith("<"):
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return f"an HTML page: {title.group(1).strip()}" if title else "an HTML page"
    return "" if report else text[:300]


def _retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After`, given as a number or as a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000"
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _hint_on_the_way(status: int | None, message: str) -> str | None:
    """What to do about what a proxy or a gateway says, before Dify."""
    if status == 407:
        return PROXY_CREDENTIALS_HINT
    if status == 400 and re.search("HTTPS (port|server)", message):  # nginx, and what Go serves
        return 'Check base_url: it begins with "https://" here.'
    return None


def _hint(kind: type[StatusError], message: str, operation: str, advice: Advice) -> str | None:
    """What to do about an error, where experience tells."""
    if kind is errors.UnauthorizedError:
        if " /datasets" in operation or " /workspaces" in operation:
            return (
                "Check api_key (DIFY_DATASET_API_KEY): knowledge bases want a key that starts with "
                '"dataset-", from the API Access of Knowledge on the server that base_url names.'
            )
        return (
            "Check api_key (DIFY_API_KEY): this endpoint wants a key that starts with "
            '"app-", from the app whose server base_url names.'
        )
    if issubclass(kind, errors.WrongAppTypeError | errors.AppUnavailableError):
        return f"The key may belong to an app of another type. {advice.app_type}"
    missing = re.match(r"(\S+) is required in input form", message)
    if missing:
        name = missing.group(1)
        return f'Pass inputs={{"{name}": ...}}{advice.missing_input}'
    if kind is errors.ConversationNotFoundError:
        return f"It was deleted, or belongs to another user or app: {advice.lost_conversation}"
    if message == "query is required":
        return "The query must not be empty."
    if issubclass(kind, errors.NotFoundError) and "HTML" in message:
        return 'Check base_url: it ends in "/v1" on a standard installation.'
    if message.startswith("Agent Chat App does not support blocking mode"):
        return 'Use response_mode="streaming".'
    if message == "Invalid upload file":
        return "A file can be used only by the user and the app it was uploaded for."
    return _hint_for_writing(kind, message, operation)


def _hint_for_writing(kind: type[StatusError], message: str, operation: str) -> str | None:
    """What to do about a file or a document that a server does not take."""
    if issubclass(kind, errors.PayloadTooLargeError):
        return "The server's or a proxy's limit: UPLOAD_FILE_SIZE_LIMIT of Dify, in MB."
    if kind is errors.InvalidParamError and not message and "file" in operation:
        return "The server takes no files of this type here: its name's extension decides."
    if "is being indexed" in message:
        return "After a change of status a document may be locked for up to ten minutes."
    if message == "Dataset api access is not enabled.":
        return "Switch on the knowledge base's API access in Dify."
    return None
