"""httpx and httpx2: whose clients are taken, and which of them the shared ones are of."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest

from dify_api import AsyncDifyClient, DifyClient, _httpx, application, errors
from tests.dify_api.test_streams import ASK, END, SSE, serve, token
from tests.support.replay import ReplayServer, Reply
from tests.support.scripts import run_script

httpx2 = pytest.importorskip("httpx2", reason="it is an extra, for Python 3.11 and newer")

LIBRARIES = [httpx, httpx2]
either = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the variable that says which library the shared clients are of."""

    def set_variable(name: str) -> None:
        monkeypatch.setenv("DIFY_HTTP_LIBRARY", name)
        _httpx.shared_library.cache_clear()

    yield set_variable
    _httpx.shared_library.cache_clear()


# Clients of one's own -----------------------------------------------------------------------


@either
def test_what_is_no_such_client_is_refused_before_any_request(library: ModuleType) -> None:
    for given, reason in (
        ({"http_client": library.AsyncClient()}, "give it as http_async_client"),
        ({"http_async_client": library.Client()}, "give it as http_client"),
        ({"http_client": library.Client}, f"not the class {library.__name__}.Client"),
        ({"http_client": object()}, "must be a Client of httpx or httpx2, not object"),
        ({"http_async_client": "x"}, "must be an AsyncClient of httpx or httpx2, not str"),
        ({"timeout": "soon"}, "timeout must be seconds, or a Timeout of httpx, not str"),
    ):
        options: Any = given
        with pytest.raises(ValueError, match=reason):
            DifyClient("app-x", **options)


@either
def test_timeouts_of_either(library: ModuleType) -> None:
    timeout = library.Timeout(7.0, read=0.1)
    with serve(token("a"), ending="open") as server:
        client = DifyClient("app-x", base_url=server.base_url, timeout=timeout)
        assert client.connection.limits == httpx.Timeout(7.0, read=0.1)
        assert client.connection.model_dump()["timeout"] == httpx.Timeout(7.0, read=0.1)
        with library.Client() as own:
            options: Any = {"timeout": timeout, "http_client": own}
            client = DifyClient("app-x", base_url=server.base_url, **options)
            with pytest.raises(errors.StreamInterruptedError) as raised:
                client.send(ASK)
    assert raised.value.answer is not None
    assert raised.value.answer.text == "a"


@either
def test_an_error_of_either_gives_no_key_away(library: ModuleType) -> None:
    with library.Client() as own:
        options: Any = {"base_url": "http://127.0.0.1:9/v1", "http_client": own, "max_retries": 0}
        with pytest.raises(errors.ConnectionFailedError) as raised:
            DifyClient("app-secret", **options).send(application.info())
    cause = raised.value.__cause__
    assert isinstance(cause, library.ConnectError)
    assert not raised.value.sent
    assert "authorization" not in cause.request.headers


# Shared ones --------------------------------------------------------------------------------


@either
async def test_the_variable_chooses(library: ModuleType, choose: Callable[[str], None]) -> None:
    choose(library.__name__)
    with serve(token("a"), END) as server:
        client = DifyClient("app-x", base_url=server.base_url)
        assert client.send(ASK).text == "a"
        with client.stream(ASK) as stream:
            body: object = stream._response.stream  # type: ignore[union-attr]  # it is open
            assert isinstance(body, library.SyncByteStream)
        async_client = AsyncDifyClient("app-x", base_url=server.base_url)
        assert (await async_client.send(ASK)).text == "a"
        async with async_client.stream(ASK) as async_stream:
            body = async_stream._response.stream  # type: ignore[union-attr]  # it is open
            assert isinstance(body, library.AsyncByteStream)


@either
async def test_a_task_cancelled_before_the_first_event_stops_the_run(
    library: ModuleType, choose: Callable[[str], None]
) -> None:
    """The stream is read on, which httpx2's own `aiter_raw` would have closed by then."""
    choose(library.__name__)
    release, arrived = threading.Event(), threading.Event()

    def wait() -> None:
        arrived.set()
        release.wait(5)

    with ReplayServer(lambda _: Reply(200, SSE, [wait, token("a")], ending="open")) as server:
        client = AsyncDifyClient("app-x", base_url=server.base_url)
        task = asyncio.create_task(client.send(ASK))
        await asyncio.to_thread(arrived.wait)
        await asyncio.sleep(0.1)  # the headers are read, too
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await asyncio.to_thread(server.wait_for_stop) == "t1"


def test_the_variable_names_what_there_is(choose: Callable[[str], None]) -> None:
    choose("requests")
    with pytest.raises(ValueError, match="must be httpx or httpx2, not 'requests'"):
        DifyClient("app-x").send(application.info())


@pytest.mark.parametrize("installed", [True, False])
def test_httpx2_is_taken_where_it_is_installed(
    installed: bool, choose: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose("")
    if not installed:
        monkeypatch.setitem(sys.modules, "httpx2", None)
    assert _httpx.shared_library() is (httpx2 if installed else httpx)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(httpx2, "alias_httpx"), reason="older httpx2 has no alias")
def test_httpx2_in_place_of_httpx() -> None:
    """As programs have it that call its `alias_httpx`."""
    head = """
        import asyncio, sys, httpx2
        httpx2.alias_httpx()
        from dify_api import AsyncDifyClient, DifyClient, chat
        ASK = chat.send_message("Hello", user="ann")
        options = {"api_key": "app-x", "base_url": sys.argv[1]}
        """
    calls = """
        print(DifyClient(**options).send(ASK).text)
        with httpx2.Client() as own:
            print(DifyClient(http_client=own, **options).send(ASK).text)
        print(asyncio.run(AsyncDifyClient(**options).send(ASK)).text)
        """
    with serve(token("a"), END) as server:
        done = run_script(head, calls, server.base_url)
    assert (done.stderr, done.stdout) == ("", "a\na\na\n")
