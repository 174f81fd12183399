"""The tree of errors: everything this package raises about a server is a `DifyError`.

One class for each `code` of Dify's reference, under the class of its HTTP status, so that a
caller catches as widely or as narrowly as needed:

    DifyError
    ├── ConnectionFailedError                           no answer from the server
    │   ├── RequestTimeoutError, TLSFailedError, ProxyAuthenticationError
    ├── UnexpectedReplyError                            an answer that is not Dify's
    ├── ConversationBusyError, NotPausedError           not now, by what goes on
    ├── AnswerError                                     a failure after the answer began
    │   ├── StreamInterruptedError, WorkflowFailedError, WorkflowStoppedError, WorkflowPausedError
    └── StatusError                                     the server said no
        ├── BadRequestError, UnauthorizedError, ForbiddenError, NotFoundError, ...
        │   └── one class per code
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from dify_api.answers.answer import Answer
    from dify_api.answers.workflow_events import HumanInputForm
    from dify_api.knowledge_errors import *  # noqa: F403


class DifyError(Exception):
    """A request to Dify that did not succeed. Picklable; never holds the API key.

    Attributes:
        message: What went wrong, in the server's words where it gave any.
        code: The server's error code; None where it gave none.
        status: The HTTP status, or the status named by an `error` event; None without either.
        operation: Method and path, such as "POST /chat-messages".
        hint: What to do about it, where that is known; part of `str(error)`.
        answer: What had been answered when it failed; None if nothing had.
        retryable: Whether the same request may succeed later. It says nothing about whether
            repeating is free: a generation that had begun is billed again.
        retry_after: Seconds that the server asked to wait, from `Retry-After`.
    """

    always_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        operation: str | None = None,
        hint: str | None = None,
        answer: Answer | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.operation = operation
        self.hint = hint
        self.answer = answer
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.always_retryable or (self.status is not None and self.status >= 500)

    def __str__(self) -> str:
        place = f"{self.operation}: " if self.operation else ""
        facts = [str(fact) for fact in (self.code, self.status) if fact is not None]
        suffix = f" ({', '.join(facts)})" if facts else ""
        hint = f" {self.hint}" if self.hint else ""
        message = (self.message or "no message").strip().rstrip(".")
        return f"{place}{message}{suffix}.{hint}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_restore, (type(self), self.message), self.__dict__)


def _restore(kind: type[DifyError], message: str) -> DifyError:
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    return error


class ConnectionFailedError(DifyError):
    """The server could not be reached, or went away before it answered.

    Attributes:
        sent: False if the request cannot have reached the server, so that repeating is free.
    """

    always_retryable = True
    sent: bool = True


class RequestTimeoutError(ConnectionFailedError):
    """The server did not answer in time."""


class TLSFailedError(ConnectionFailedError):
    """The server's certificate was not accepted, or it speaks no TLS: no use in trying again."""

    always_retryable = False


class ProxyAuthenticationError(ConnectionFailedError):
    """The proxy wants another user name or password: no use in trying again."""

    always_retryable = False


class ConversationBusyError(DifyError):
    """An earlier turn of the same conversation did not end in time, in this process."""

    always_retryable = True


class NotPausedError(DifyError):
    """The run does not wait for a human: it goes on, or has ended."""


class UnexpectedReplyError(DifyError):
    """The reply is not one of Dify's: a login page, a redirect, another service."""


class AnswerError(DifyError):
    """The answer failed after it had begun; `answer` holds what there is of it."""


class StreamInterruptedError(AnswerError):
    """The stream ended, broke or fell silent before its end, and no whole answer was found."""

    always_retryable = True


class WorkflowFailedError(AnswerError):
    """The run ended with status "failed" (the server says HTTP 200 even so).

    `code` and `status` are those of the `error` event beside it, where one came.
    """


class WorkflowStoppedError(AnswerError):
    """Somebody else, or a time limit of the server, stopped the run.

    What this process or moderation stops is an answer with the `finish_reason` "stopped".
    """


class WorkflowPausedError(AnswerError):
    """The run waits for a human: `client.resume(error, values, user=...)` fills its `forms`.

    Attributes:
        forms: The forms to fill; `form.response_schema()` says what each takes.
        workflow_run_id: The run: enough to go on in another process.
    """

    forms: list[HumanInputForm]
    workflow_run_id: str | None


class StatusError(DifyError):
    """The server refused the request, by HTTP status or by an `error` event.

    Attributes:
        codes: The codes that mean this class; a class does not take over those of its base.
        http_status: The HTTP status that means this class where the code is unknown.
    """

    codes: ClassVar[tuple[str, ...]] = ()
    http_status: ClassVar[int | None] = None

    def __init_subclass__(
        cls, *, code: str | tuple[str, ...] = (), http_status: int | None = None
    ) -> None:
        super().__init_subclass__()
        cls.codes = (code,) if isinstance(code, str) else code
        cls.http_status = http_status


class BadRequestError(StatusError, http_status=400, code="bad_request"):
    """400: by its own code, or by a code that this release does not know."""


class InvalidParamError(BadRequestError, code="invalid_param"):
    """Inputs, files or parameters that the app does not accept."""


class BadRequestKeyError(BadRequestError, code="bad_request_key_error"):
    """A part of the multipart form is missing."""


class AppUnavailableError(BadRequestError, code="app_unavailable"):
    """The app is not published, misconfigured, or of the wrong type."""


class WrongAppTypeError(BadRequestError):
    """The endpoint is not one of this type of app."""


class NotChatAppError(WrongAppTypeError, code="not_chat_app"):
    """A chat, agent or chatflow app is wanted."""


class NotCompletionAppError(WrongAppTypeError, code="not_completion_app"):
    """A completion app is wanted."""


class NotWorkflowAppError(WrongAppTypeError, code="not_workflow_app"):
    """A workflow app is wanted."""


class ConversationCompletedError(BadRequestError, code="conversation_completed"):
    """The conversation takes no more messages: start a new one."""


class ProviderError(BadRequestError):
    """The model behind the app failed."""


class ProviderNotInitializeError(ProviderError, code="provider_not_initialize"):
    """The model has no credentials."""


class ProviderQuotaExceededError(ProviderError, code="provider_quota_exceeded"):
    """The hosted model's quota is used up."""


class ModelCurrentlyNotSupportError(ProviderError, code="model_currently_not_support"):
    """The model cannot be used now."""


class CompletionRequestError(ProviderError, code="completion_request_error"):
    """Any failure of the model's provider."""


class NoFileUploadedError(BadRequestError, code="no_file_uploaded"):
    """The upload holds no file."""


class TooManyFilesError(BadRequestError, code="too_many_files"):
    """The upload holds more than one file."""


class FilenameNotExistsError(BadRequestError, code="filename_not_exists_error"):
    """The file of the upload has no name."""


class FileExtensionBlockedError(BadRequestError, code="file_extension_blocked"):
    """The server takes no files with this extension."""


class NoAudioUploadedError(BadRequestError, code="no_audio_uploaded"):
    """The upload holds no audio."""


class ProviderNotSupportSpeechToTextError(
    BadRequestError, code="provider_not_support_speech_to_text"
):
    """The model's provider has no speech to text."""


class SpeechToTextDisabledError(BadRequestError, code="speech_to_text_disabled"):
    """The app has speech to text off (1.16.0; before `invalid_param`)."""


class DatasetNotInitializedError(BadRequestError, code="dataset_not_initialized"):
    """The knowledge base is not indexed yet."""


class InvalidFormDataError(BadRequestError, code="invalid_form_data"):
    """A human input form was filled wrongly."""


class AgentNotPublishedError(BadRequestError, code="agent_not_published"):
    """The agent was never published."""


class UnauthorizedError(StatusError, http_status=401, code="unauthorized"):
    """The API key is missing, wrong, or of the wrong kind."""


class ForbiddenError(StatusError, http_status=403, code="forbidden"):
    """The app's API is off, or the knowledge base is out of bounds."""


class FileAccessDeniedError(ForbiddenError, code="file_access_denied"):
    """The file belongs to another app or user."""


class WorkflowVersionExecutionNotAllowedError(
    ForbiddenError, code="workflow_version_execution_not_allowed"
):
    """The plan does not allow pinned versions."""


class NotFoundError(StatusError, http_status=404, code="not_found"):
    """An unknown conversation, message, run, dataset or path."""


class ConversationNotFoundError(NotFoundError):
    """The conversation was deleted, or is another user's or app's."""


class UploadFileNotFoundError(NotFoundError, code="file_not_found"):
    """An unknown uploaded file."""


class EndUserNotFoundError(NotFoundError, code="end_user_not_found"):
    """An unknown end user."""


class MethodNotAllowedError(StatusError, http_status=405, code="method_not_allowed"):
    """The path has no such method."""


class NotAcceptableError(StatusError, http_status=406, code="not_acceptable"):
    """The server cannot answer in the form asked for."""


class ConflictError(StatusError, http_status=409):
    """What is there already, or is in use, stands against it."""


class PreconditionFailedError(StatusError, http_status=412):
    """A human input form that can no longer be submitted."""


class HumanInputFormSubmittedError(PreconditionFailedError, code="human_input_form_submitted"):
    """The form was submitted before."""


class HumanInputFormExpiredError(PreconditionFailedError, code="human_input_form_expired"):
    """The form was not submitted in time."""


class PayloadTooLargeError(StatusError, http_status=413):
    """More bytes than the server or a proxy takes."""


class FileTooLargeError(PayloadTooLargeError, code="file_too_large"):
    """The file is larger than the server takes."""


class AudioTooLargeError(PayloadTooLargeError, code="audio_too_large"):
    """The audio is larger than the server takes."""


class UnsupportedMediaTypeError(StatusError, http_status=415, code="unsupported_media_type"):
    """A body of a content type that the server does not read."""


class UnsupportedFileTypeError(UnsupportedMediaTypeError, code="unsupported_file_type"):
    """A file of a type that the server does not take."""


class UnsupportedAudioTypeError(UnsupportedMediaTypeError, code="unsupported_audio_type"):
    """Audio of a type that the server does not take."""


class RateLimitError(StatusError, http_status=429, code="rate_limit_error"):
    """A quota of the workspace or of the model's provider."""

    always_retryable = True


class TooManyRequestsError(RateLimitError, code="too_many_requests"):
    """The app's limit of concurrent requests; servers say 400 `invalid_param` for it."""


class ServerError(StatusError):
    """500 and above."""

    always_retryable = True


class InternalServerError(ServerError, code=("internal_server_error", "unknown")):
    """The server failed in a way that it has no name for."""


class StorageError(ServerError):
    """The file storage failed."""


class S3ConnectionFailedError(StorageError, code="s3_connection_failed"):
    """The file storage is out of reach."""


class S3PermissionDeniedError(StorageError, code="s3_permission_denied"):
    """The file storage refuses the server."""


class S3FileTooLargeError(StorageError, code="s3_file_too_large"):
    """The file is larger than the storage takes."""


class RunCancelledError(StatusError, code="run_cancelled"):
    """A New Agent's run was cancelled on the server (1.16.0)."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """The errors of writing knowledge bases, whose module imports this one."""
        kind = getattr(import_module("dify_api.knowledge_errors"), name, None)
        if not (isinstance(kind, type) and issubclass(kind, DifyError)):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return kind
