"""Canaries: key, headers and the proxy's password show up nowhere, however a call ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.callers import CALLERS, Caller, Options
from tests.faults.server import CHUNKED, TEXT, Case, End, FaultServer, chunk, frames, good, whole
from tests.support.replay import ReplayServer, Reply
from tests.test_options import CLASSES

KEY, HEADER, PASSWORD = "app-CanaryOfTheKey", "CanaryOfTheHeader", "CanaryOfTheProxy"
SECRETS = (KEY, HEADER, PASSWORD)

FAULTS: dict[str, Any] = {
    "refused": lambda _: [whole(b'{"code": "unauthorized", "message": "no"}', 401)],
    "no HTTP": lambda _: [b"SSH-2.0\r\n\r\n", End.Cut],
    "a header with a space": lambda _: [b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n", End.Cut],
    "closed": lambda _: [End.Cut],
    "a page": lambda _: [whole(b"<html>", 200, "text/html")],
    "broken off": lambda asks: [CHUNKED, chunk(frames(asks).begin), End.Cut],
    "redirected": lambda _: [whole(b"", 302, location="http://elsewhere.example/")],
}


class _Hidden(dict[str, Any]):
    """The tests' own options, which pass through frames of the standard library."""

    def __repr__(self) -> str:
        return "options"


def options_of(url: str, **more: str) -> Options:
    options = {"api_key": KEY, "base_url": url, "max_retries": 0, **more}
    return _Hidden(options, default_headers={"X-Gateway": HEADER})


def shown(error: BaseException | None) -> Iterator[str]:
    """All that reporters make of an exception, its chain and the variables of its frames.

    The frames of the tests are left out: they are the caller who has the secrets.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield f"{error!s} {error!r} {vars(error)} {error.args}"
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "/tests/" not in frame.f_code.co_filename:
                where = f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
                for name, value in frame.f_locals.items():
                    yield f"{where} {name} = {_repr(value)}"
        error = error.__cause__ or error.__context__


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - as reporters do
        return "?"


def assert_hidden(texts: Iterator[str]) -> None:
    for text in texts:
        for secret in SECRETS:
            assert secret not in text, text[:300]


async def ask(caller: Caller, options: Options) -> str:
    if caller.is_async:
        return await caller.text(options)
    return await asyncio.to_thread(caller.text, options)


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_calls(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer() as server:
        for number, caller in enumerate(CALLERS):
            server.cases[f"c{number}"] = Case(FAULTS[fault](caller.asks))
            with pytest.raises(Exception) as raised:
                await ask(caller, options_of(server.url(f"c{number}")))
            assert_hidden(shown(raised.value))
            assert_hidden(iter([repr(pickle.dumps(_error(raised.value)))]))
    assert_hidden(record.getMessage() for record in caplog.records)


def _error(error: BaseException) -> BaseException:
    """The innermost error of our own, which workers send home."""
    from tests.faults.callers import error_of

    return error_of(error)


@pytest.mark.parametrize("place", ["before the headers", "in the middle"])
async def test_cancelled_calls(place: str) -> None:
    with FaultServer() as server:
        for number, caller in enumerate(CALLERS):
            if not caller.is_async or (caller.asks == "search" and place == "in the middle"):
                continue
            frame = frames(caller.asks)
            middle = [CHUNKED, chunk(frame.begin + frame.tokens[0]), End.Hold]
            case = Case([End.Hold] if place == "before the headers" else middle)
            server.cases[f"c{number}"] = case
            task = asyncio.ensure_future(caller.text(options_of(server.url(f"c{number}"))))
            await asyncio.to_thread(case.sent.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await task
            assert_hidden(shown(raised.value))


async def test_good_calls_log_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer() as server:
        for number, caller in enumerate(CALLERS):
            server.cases[f"c{number}"] = Case(good(caller.asks))
            assert await ask(caller, options_of(server.url(f"c{number}"))) == TEXT
    assert caplog.records
    assert_hidden(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = Reply(407, {"content-type": "text/plain"}, [b"who are you?"])
    with ReplayServer(lambda _: refusal) as proxy:
        place = proxy.base_url.removeprefix("http://").removesuffix("/v1")
        options = options_of(f"{scheme}://dify.example/v1", proxy=f"http://me:{PASSWORD}@{place}")
        for caller in CALLERS:
            with pytest.raises(Exception) as raised:
                await ask(caller, options)
            assert_hidden(shown(raised.value))
    assert_hidden(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    "kind", CLASSES, ids=lambda k: f"{k.__module__.split('.')[0]}.{k.__name__}"
)
def test_objects(kind: type) -> None:
    """Representations, serialisations, pickles, keys of caches."""
    proxy = f"http://me:{PASSWORD}@proxy.example"
    made = CLASSES[kind](**options_of("http://dify.example/v1", proxy=proxy))
    assert_hidden(iter(list(_forms(made))))


def _forms(made: Any) -> Iterator[str]:
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.load import dumpd, dumps

    yield repr(made)
    if not isinstance(made, BaseChatMessageHistory):  # whose text is the messages, on the server
        yield str(made)
    for name in ("to_dict", "to_json", "model_dump", "model_dump_json", "dict", "json"):
        if callable(form := getattr(made, name, None)):
            try:
                yield str(form())
            except (TypeError, ValueError) as error:  # core cannot write callback managers
                yield str(error)
    yield str(dumpd(made)) + dumps(made)
    for name in ("_llm_type", "_identifying_params", "metadata", "lc_attributes", "fingerprint"):
        yield str(getattr(made, name, ""))
    if callable(getattr(made, "_get_llm_string", None)):
        yield made._get_llm_string()
    try:
        yield repr(pickle.dumps(made))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        yield str(error)


class _Payloads:
    """What tracers and handlers of both frameworks are given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def take(self, *values: object) -> None:
        self.texts.append(json.dumps(values, default=repr))


async def test_traces_and_events() -> None:
    from langchain_core.tracers import BaseTracer
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    import langchain_dify as lc

    seen = _Payloads()

    class Tracer(BaseTracer):
        def _persist_run(self, run: Any) -> None:
            seen.take(run.model_dump() if hasattr(run, "model_dump") else run.dict())

    class Events(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            seen.take(event.model_dump())

    root = get_dispatcher()
    handler = Events()
    root.add_event_handler(handler)
    try:
        with FaultServer() as server:
            server.cases["c"] = Case(good("message"))
            server.cases["bad"] = Case(FAULTS["refused"]("message"))
            for name in ("c", "bad"):
                options = options_of(server.url(name))
                for caller in CALLERS:
                    if caller.asks == "message":
                        with contextlib.suppress(Exception if name == "bad" else ()):
                            await ask(caller, options)
                model = lc.ChatDify(**options, callbacks=[Tracer()])
                with contextlib.suppress(lc.DifyError if name == "bad" else ()):
                    model.invoke("Hello")
    finally:
        root.event_handlers.remove(handler)
    assert len(seen.texts) > 10
    assert_hidden(iter(seen.texts))
