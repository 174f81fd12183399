from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from langchain_core import exceptions

from dify_api import errors
from dify_api.answers.answer import Answer
from dify_local import LocalDify
from langchain_dify import ChatDify
from langchain_dify.errors import as_model_error

Models = Callable[..., ChatDify]

needs_model_errors = pytest.mark.skipif(
    not hasattr(exceptions, "ModelError"), reason="this langchain-core has no model errors yet"
)


@needs_model_errors
@pytest.mark.parametrize(
    ("error", "meaning", "retryable"),
    [
        (errors.UnauthorizedError("x", status=401), "ModelAuthenticationError", False),
        (errors.ForbiddenError("x", status=403), "ModelPermissionDeniedError", False),
        (errors.ConversationNotFoundError("x", status=404), "ModelNotFoundError", False),
        (errors.InvalidParamError("x", status=400), "ModelInvalidRequestError", False),
        (errors.CompletionRequestError("x", status=400), "ModelInvalidRequestError", False),
        (errors.TooManyRequestsError("x", status=400), "ModelRateLimitError", True),
        (errors.InternalServerError("x", status=500), "ModelAPIError", True),
        (errors.ConnectionFailedError("x"), "ModelConnectionError", True),
        (errors.RequestTimeoutError("x"), "ModelTimeoutError", True),
        (errors.StreamInterruptedError("x"), "ModelConnectionError", True),
        (errors.WorkflowFailedError("x"), "ModelError", False),
        (
            errors.CompletionRequestError("maximum context length is 8192 tokens", status=400),
            "ContextOverflowError",
            False,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_errors_are_both(error: errors.DifyError, meaning: str, retryable: bool) -> None:
    error.answer = Answer(text="half")
    both = as_model_error(error)
    assert isinstance(both, type(error))
    assert isinstance(both, getattr(exceptions, meaning))
    assert both.is_retryable is retryable
    assert str(both) == str(error)
    loaded = pickle.loads(pickle.dumps(both))
    assert type(loaded) is type(both)
    assert (loaded.status, loaded.answer.text, str(loaded)) == (both.status, "half", str(both))
    assert as_model_error(both) is both


def test_older_cores_raise_our_error_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in dir(exceptions):
        if name.startswith(("Model", "ContextOverflow")):
            monkeypatch.delattr(exceptions, name)
    error = errors.UnauthorizedError("x")
    assert as_model_error(error) is error


async def test_a_wrong_key_is_one_clear_error(chat: Models) -> None:
    model = chat(api_key="app-wrong")
    with pytest.raises(errors.UnauthorizedError, match="Check api_key") as caught:
        model.invoke("hi")
    assert "app-wrong" not in repr(caught.value)
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    with pytest.raises(errors.UnauthorizedError):
        await model.ainvoke("hi")
    with pytest.raises(errors.UnauthorizedError):
        list(model.stream("hi"))


async def test_an_unreachable_host_is_one_clear_error() -> None:
    model = ChatDify(api_key="app-x", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(errors.ConnectionFailedError, match="Check base_url"):
        model.invoke("hi")
    with pytest.raises(errors.ConnectionFailedError, match="Check base_url"):
        await model.ainvoke("hi")


async def test_a_stream_that_breaks_is_never_half_an_answer(
    chat: Models, server: LocalDify
) -> None:
    server.fault("close", after_events=3, times=2, path="/chat-messages")
    model = chat(max_retries=0, progress_timeout=0.5)  # the server keeps no such answer
    with pytest.raises(errors.StreamInterruptedError) as caught:
        model.invoke("/echo one two three four five")
    assert caught.value.answer.text
    with pytest.raises(errors.StreamInterruptedError):
        async for _ in model.astream("/echo one two three four five"):
            pass
