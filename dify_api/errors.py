"""The tree of errors: everything this package raises about a server is a `DifyError`.

One class for each `code` of Dify's reference, under the class of its HTTP status, so that a
caller catches as widely or as narrowly as needed:

    DifyError
    ├── ConnectionFailedError, RequestTimeoutError      no answer from the server
    ├── UnexpectedReplyError                            an answer that is not Dify's
    ├── ConversationBusyError                           another turn is still going on
    ├── AnswerError                                     a failure after the answer began
    │   ├── StreamInterruptedError, WorkflowFailedError, WorkflowPausedError
    └── StatusError                                     the server said no
        ├── BadRequestError, UnauthorizedError, ForbiddenError, NotFoundError, ...
        │   └── one class per code
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from dify_api.answers.answer import Answer
    from dify_api.answers.workflow_events import HumanInputForm


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


class ConversationBusyError(DifyError):
    """An earlier turn of the same conversation did not end in time, in this process."""

    always_retryable = True


class UnexpectedReplyError(DifyError):
    """The reply is not one of Dify's: a login page, a redirect, another service."""


class AnswerError(DifyError):
    """The answer failed after it had begun; `answer` holds what there is of it."""


class StreamInterruptedError(AnswerError):
    """The stream ended, broke or fell silent before its terminal event."""

    always_retryable = True


class WorkflowFailedError(AnswerError):
    """The run ended with status "failed" (the server says HTTP 200 even so).

    `code` and `status` are those of the `error` event beside it, where one came.
    """


class WorkflowPausedError(AnswerError):
    """The run waits for a human: fill `forms`, then attach to the run's event stream again.

    Attributes:
        forms: The forms to fill; their `form_token` is the key of the form endpoints.
        workflow_run_id: The run to attach to once they are filled.
    """

    forms: list[HumanInputForm]
    workflow_run_id: str | None


class StatusError(DifyError):
    """The server refused the request, by HTTP status or by an `error` event."""


class BadRequestError(StatusError):
    """400. Code `bad_request`, or a code this release does not know."""


class InvalidParamError(BadRequestError):
    """400 `invalid_param`: inputs, files or parameters that the app does not accept."""


class BadRequestKeyError(BadRequestError):
    """400 `bad_request_key_error`: a part of the multipart form is missing."""


class AppUnavailableError(BadRequestError):
    """400 `app_unavailable`: not published, misconfigured, or of the wrong type."""


class WrongAppTypeError(BadRequestError):
    """400: the endpoint is not one of this type of app."""


class NotChatAppError(WrongAppTypeError):
    """400 `not_chat_app`."""


class NotCompletionAppError(WrongAppTypeError):
    """400 `not_completion_app`."""


class NotWorkflowAppError(WrongAppTypeError):
    """400 `not_workflow_app`."""


class ConversationCompletedError(BadRequestError):
    """400 `conversation_completed`: start a new conversation."""


class ProviderError(BadRequestError):
    """400: the model behind the app failed."""


class ProviderNotInitializeError(ProviderError):
    """400 `provider_not_initialize`: no credentials for the model."""


class ProviderQuotaExceededError(ProviderError):
    """400 `provider_quota_exceeded`: the hosted model's quota is used up."""


class ModelCurrentlyNotSupportError(ProviderError):
    """400 `model_currently_not_support`."""


class CompletionRequestError(ProviderError):
    """400 `completion_request_error`: any failure of the model's provider."""


class NoFileUploadedError(BadRequestError):
    """400 `no_file_uploaded`."""


class TooManyFilesError(BadRequestError):
    """400 `too_many_files`."""


class FilenameNotExistsError(BadRequestError):
    """400 `filename_not_exists_error`."""


class FileExtensionBlockedError(BadRequestError):
    """400 `file_extension_blocked`."""


class NoAudioUploadedError(BadRequestError):
    """400 `no_audio_uploaded`."""


class ProviderNotSupportSpeechToTextError(BadRequestError):
    """400 `provider_not_support_speech_to_text`."""


class SpeechToTextDisabledError(BadRequestError):
    """400 `speech_to_text_disabled` (1.16.0; before `invalid_param`)."""


class DatasetNotInitializedError(BadRequestError):
    """400 `dataset_not_initialized`."""


class InvalidFormDataError(BadRequestError):
    """400 `invalid_form_data`: a human input form was filled wrongly."""


class AgentNotPublishedError(BadRequestError):
    """400 `agent_not_published`."""


class UnauthorizedError(StatusError):
    """401 `unauthorized`: the API key is missing, wrong, or of the wrong kind."""


class ForbiddenError(StatusError):
    """403 `forbidden`: the app's API is off, or the knowledge base is out of bounds."""


class FileAccessDeniedError(ForbiddenError):
    """403 `file_access_denied`."""


class WorkflowVersionExecutionNotAllowedError(ForbiddenError):
    """403 `workflow_version_execution_not_allowed`: the plan does not allow pinned versions."""


class NotFoundError(StatusError):
    """404 `not_found`: an unknown conversation, message, run, dataset or path."""


class ConversationNotFoundError(NotFoundError):
    """404 "Conversation Not Exists.": deleted, or another user's or app's."""


class UploadFileNotFoundError(NotFoundError):
    """404 `file_not_found`."""


class EndUserNotFoundError(NotFoundError):
    """404 `end_user_not_found`."""


class MethodNotAllowedError(StatusError):
    """405 `method_not_allowed`."""


class NotAcceptableError(StatusError):
    """406 `not_acceptable`."""


class PreconditionFailedError(StatusError):
    """412: a human input form that can no longer be submitted."""


class HumanInputFormSubmittedError(PreconditionFailedError):
    """412 `human_input_form_submitted`."""


class HumanInputFormExpiredError(PreconditionFailedError):
    """412 `human_input_form_expired`."""


class PayloadTooLargeError(StatusError):
    """413: more bytes than the server or a proxy takes."""


class FileTooLargeError(PayloadTooLargeError):
    """413 `file_too_large`."""


class AudioTooLargeError(PayloadTooLargeError):
    """413 `audio_too_large`."""


class UnsupportedMediaTypeError(StatusError):
    """415 `unsupported_media_type`."""


class UnsupportedFileTypeError(UnsupportedMediaTypeError):
    """415 `unsupported_file_type`."""


class UnsupportedAudioTypeError(UnsupportedMediaTypeError):
    """415 `unsupported_audio_type`."""


class RateLimitError(StatusError):
    """429 `rate_limit_error`: a quota of the workspace or of the model's provider."""

    always_retryable = True


class TooManyRequestsError(RateLimitError):
    """The app's limit of concurrent requests.

    429 `too_many_requests` by the reference; 400 `invalid_param` "Too many requests..." on every
    release recorded (0.15.3 to 1.16.0).
    """


class ServerError(StatusError):
    """500 and above."""

    always_retryable = True


class InternalServerError(ServerError):
    """500 `internal_server_error` or `unknown`."""


class StorageError(ServerError):
    """503 of the file storage."""


class S3ConnectionFailedError(StorageError):
    """503 `s3_connection_failed`."""


class S3PermissionDeniedError(StorageError):
    """503 `s3_permission_denied`."""


class S3FileTooLargeError(StorageError):
    """503 `s3_file_too_large`."""


class RunCancelledError(StatusError):
    """`run_cancelled`: a New Agent's run was cancelled on the server (1.16.0)."""
