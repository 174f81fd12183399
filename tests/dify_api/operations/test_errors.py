"""Each code of Dify's reference has its class, under the class of its status."""

from __future__ import annotations

import re

import pytest

from dify_api import (
    application,
    audio,
    chat,
    completion,
    documents,
    errors,
    knowledge,
    workflows,
)
from dify_api._replies import error_from_code
from dify_api.operation import Operation
from tests.dify_api.operations.serving import ID, receive
from tests.support.cassettes import all_exchanges

CODES = {
    400: [
        "bad_request",
        "invalid_param",
        "bad_request_key_error",
        "app_unavailable",
        "not_chat_app",
        "not_completion_app",
        "not_workflow_app",
        "conversation_completed",
        "provider_not_initialize",
        "provider_quota_exceeded",
        "model_currently_not_support",
        "completion_request_error",
        "no_file_uploaded",
        "too_many_files",
        "filename_not_exists_error",
        "file_extension_blocked",
        "no_audio_uploaded",
        "provider_not_support_speech_to_text",
        "speech_to_text_disabled",
        "dataset_not_initialized",
        "high_quality_dataset_only",
        "invalid_action",
        "document_already_finished",
        "document_indexing",
        "invalid_metadata",
        "invalid_form_data",
        "agent_not_published",
    ],
    401: ["unauthorized"],
    403: [
        "forbidden",
        "file_access_denied",
        "archived_document_immutable",
        "workflow_version_execution_not_allowed",
    ],
    404: ["not_found", "file_not_found", "end_user_not_found"],
    405: ["method_not_allowed"],
    406: ["not_acceptable"],
    409: ["dataset_name_duplicate", "dataset_in_use", "dataset_indexing_in_progress"],
    412: ["human_input_form_submitted", "human_input_form_expired"],
    413: ["file_too_large", "audio_too_large"],
    415: ["unsupported_media_type", "unsupported_file_type", "unsupported_audio_type"],
    429: ["rate_limit_error", "too_many_requests"],
    500: ["internal_server_error", "unknown", "pipeline_run_error"],
    503: ["s3_connection_failed", "s3_permission_denied", "s3_file_too_large"],
}

PARENTS: dict[int, type[errors.StatusError]] = {
    400: errors.BadRequestError,
    401: errors.UnauthorizedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    405: errors.MethodNotAllowedError,
    406: errors.NotAcceptableError,
    409: errors.ConflictError,
    412: errors.PreconditionFailedError,
    413: errors.PayloadTooLargeError,
    415: errors.UnsupportedMediaTypeError,
    429: errors.RateLimitError,
    500: errors.ServerError,
    503: errors.ServerError,
}

NAMES = {  # where another class has the code's own name
    "unknown": "InternalServerError",
    "file_not_found": "UploadFileNotFoundError",
}


@pytest.mark.parametrize(
    ("status", "code"), [(status, code) for status, codes in CODES.items() for code in codes]
)
def test_each_code_has_its_class(status: int, code: str) -> None:
    error = error_from_code(code, status, "said the server", operation="GET /info")
    own_name = "".join(word.capitalize() for word in code.removesuffix("_error").split("_"))
    wanted = NAMES.get(code, f"{own_name}Error")
    assert type(error).__name__.lower() == wanted.lower()
    assert isinstance(error, PARENTS[status])
    assert (error.code, error.status, error.message) == (code, status, "said the server")
    assert error.retryable == (status in (429, 500, 503))


def test_each_recorded_code_is_known() -> None:
    recorded = {
        exchange.json["code"]
        for exchange in all_exchanges()
        if exchange.status >= 400 and isinstance(exchange.json, dict) and "code" in exchange.json
    }
    assert recorded <= {code for codes in CODES.values() for code in codes}


@pytest.mark.parametrize("status", [402, 409, 418, 451, 507, 599])
def test_a_code_of_tomorrow_keeps_its_name_and_status(status: int) -> None:
    error = error_from_code("of_tomorrow", status, "new", operation="GET /info")
    assert isinstance(error, errors.ServerError if status >= 500 else errors.StatusError)
    assert (error.code, error.status) == ("of_tomorrow", status)


APP_TYPE = r"another type.*completion-messages.*chat-messages.*workflows/run"


@pytest.mark.parametrize(
    ("operation", "status", "code", "message", "hint"),
    [
        (application.info(), 401, "unauthorized", "Access token is invalid", r'starts with "app-"'),
        (knowledge.datasets(), 401, "unauthorized", "Access token is invalid", '"dataset-"'),
        (workflows.run({}, user="ann"), 400, "not_workflow_app", "", APP_TYPE),
        (chat.send_message("Hi", user="ann"), 400, "not_chat_app", "", APP_TYPE),
        (completion.send_message({}, user="ann"), 400, "app_unavailable", "", APP_TYPE),
        (
            chat.send_message("Hi", user="ann"),
            400,
            "invalid_param",
            "planet is required in input form",
            r'inputs=\{"planet": \.\.\.\}',
        ),
        (
            chat.send_message("Hi", user="ann"),
            400,
            "invalid_param",
            "Invalid upload file",
            "the user and the app it was uploaded for",
        ),
        (application.info(), 404, "", "", "base_url"),
        (knowledge.models("llm"), 401, "unauthorized", "Access token is invalid", '"dataset-"'),
        (documents.create_by_file(ID, b"", name="a.exe"), 400, "invalid_param", "", "extension"),
        (documents.create_by_file(ID, b"", name="a.txt"), 413, "file_too_large", "", "LIMIT"),
        (
            documents.update_status(ID, "enable", [ID]),
            400,
            "invalid_action",
            "Document:moons is being indexed, please try again later",
            "ten minutes",
        ),
        (
            documents.list_documents(ID),
            403,
            "forbidden",
            "Dataset api access is not enabled.",
            "Switch on",
        ),
    ],
)
def test_what_to_do_about_it(
    operation: Operation[object], status: int, code: str, message: str, hint: str
) -> None:
    body = {"code": code, "message": message} if code else "<html><title>404</title></html>"
    with pytest.raises(errors.StatusError) as raised:
        receive(operation, body, status)
    assert raised.value.hint is not None
    assert re.search(hint, raised.value.hint, re.DOTALL)
    assert raised.value.hint in str(raised.value)
    assert str(raised.value).startswith(operation.name)


def test_speech_that_is_switched_off() -> None:
    body = {"code": "speech_to_text_disabled", "message": "Speech to text is not enabled"}
    with pytest.raises(errors.SpeechToTextDisabledError):
        receive(audio.to_text(b"RIFF", user="ann", name="a.wav"), body, 400)
    with pytest.raises(errors.EndUserNotFoundError):
        receive(chat.suggested_questions(ID, user="ann"), {"code": "end_user_not_found"}, 404)
