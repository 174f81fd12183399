from __future__ import annotations

import json
import pickle

import pytest

from dify_api import errors
from dify_api._class_tree import class_tree
from dify_api._replies import error_from_code, error_from_reply
from dify_api.answers.answer import Answer

JSON = {"content-type": "application/json"}


def read(status: int, body: str, **headers: str) -> errors.DifyError:
    return error_from_reply(status, {**JSON, **headers}, body.encode(), operation="GET /info")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "message"),
    [
        (400, '{"code":"invalid_param","message":"m","status":400}', "InvalidParamError",
         "invalid_param", "m"),
        (400, '{"code":"invalid_param","message":"m","params":"field"}', "InvalidParamError",
         "invalid_param", "m"),
        (400, '{"errors":{"query":"Missing"},"message":"Input payload validation failed"}',
         "BadRequestError", "bad_request", "Input payload validation failed (query: Missing)"),
        (500, '{"message":"Internal Server Error","code":"unknown"}', "InternalServerError",
         "unknown", "Internal Server Error"),
        (405, '{"code":"method_not_allowed","message":"m"}', "MethodNotAllowedError",
         "method_not_allowed", "m"),
        (404, '{"message":"Not here"}', "NotFoundError", "not_found", "Not here"),
        (502, "<html><title>502 Bad Gateway</title></html>", "ServerError", "bad_gateway",
         "an HTML page: 502 Bad Gateway"),
        (524, "<html>", "ServerError", "http_524", "an HTML page"),
        (413, "", "PayloadTooLargeError", None, ""),
        (400, '{"code":"brand_new","message":"m"}', "BadRequestError", "brand_new", "m"),
        (400, '["not", "an", "object"]', "BadRequestError", "bad_request",
         '["not", "an", "object"]'),
    ],
)  # fmt: skip
def test_every_body_shape_decodes(
    status: int, body: str, kind: str, code: str | None, message: str
) -> None:
    error = read(status, body)
    assert (type(error).__name__, error.message, error.status) == (kind, message, status)
    assert code is None or error.code == code


def test_too_many_requests_is_told_by_its_text() -> None:
    error = read(400, '{"code":"invalid_param","message":"Too many requests. Please try again"}')
    assert isinstance(error, errors.TooManyRequestsError)
    assert (error.code, error.status, error.retryable) == ("invalid_param", 400, True)


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "internal_server_error"), (400, "completion_request_error"), (400, "bad_request")],
)
def test_too_many_requests_of_somebody_else_is_no_reason_to_generate_again(
    status: int, code: str
) -> None:
    error = read(status, json.dumps({"code": code, "message": "Too many requests to the model"}))
    assert not isinstance(error, errors.RateLimitError)


def test_retry_after() -> None:
    assert read(429, "{}", **{"retry-after": "7"}).retry_after == 7
    past = read(429, "{}", **{"retry-after": "Fri, 21 Nov 2025 12:00:00 GMT"})
    assert past.retry_after == 0
    assert read(429, "{}", **{"retry-after": "soon"}).retry_after is None


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (read(401, '{"code":"unauthorized","message":"Access token is invalid"}'), 'with "app-"'),
        (
            read(400, '{"code":"not_chat_app","message":"m"}'),
            "completion-messages (completion.send_message)",
        ),
        (read(400, '{"code":"invalid_param","message":"city is required in input form"}'),
         'inputs={"city": ...}'),
        (read(404, '{"code":"not_found","message":"Conversation Not Exists."}'),
         "start a new conversation"),
        (read(404, "<html><title>404 Not Found</title>"), "/v1"),
        (read(302, "", location="https://elsewhere"), "base_url"),
    ],
)  # fmt: skip
def test_hints_say_what_to_do(error: errors.DifyError, advice: str) -> None:
    assert advice in str(error)
    assert str(error).startswith("GET /info: ")


def test_errors_survive_pickling_with_all_they_carry() -> None:
    error = errors.WorkflowPausedError(
        "waits", operation="POST /x", answer=Answer(text="half"), code="c", status=1
    )
    error.workflow_run_id = "r1"
    error.forms = []
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is errors.WorkflowPausedError
    assert str(copy) == str(error)
    assert copy.answer.text == "half"
    assert (copy.workflow_run_id, copy.code, copy.status) == ("r1", "c", 1)


def test_a_code_and_a_status_mean_one_class_each() -> None:
    kinds = list(class_tree(errors.StatusError))
    codes = [code for kind in kinds for code in kind.codes]
    statuses = [kind.http_status for kind in kinds if kind.http_status]
    assert len(codes) == len(set(codes)) > 40
    assert len(statuses) == len(set(statuses)) > 9
    for kind in kinds:
        for code in kind.codes:
            assert type(error_from_code(code, None, "", operation="x")) is kind
        if kind.http_status:
            assert type(error_from_code("new", kind.http_status, "", operation="x")) is kind
