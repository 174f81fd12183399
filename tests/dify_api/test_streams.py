"""Leaving, ending, breaking and waiting: streams on a real socket."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dify_api import AsyncDifyClient, DifyClient, chat, errors, workflows
from dify_api._transport.turns import TURNS
from dify_api.answers import _reader as reader
from dify_api.operation import Operation
from tests.support.cassettes import exchange
from tests.support.replay import Received, ReplayServer, Reply

ASK = chat.send_message("Hello", user="ann")
SSE = {"content-type": "text/event-stream; charset=utf-8"}
IDS = {"task_id": "t1", "message_id": "m1", "conversation_id": "c1"}

Piece = bytes | Callable[[], None]


def frame(event: str, **fields: Any) -> bytes:
    return b"data: " + json.dumps({"event": event, **IDS, **fields}).encode() + b"\n\n"


def token(text: str) -> bytes:
    return frame("message", answer=text)


END = frame("message_end", metadata={"usage": {"total_tokens": 3}})


def serve(*pieces: Piece, ending: str = "end") -> ReplayServer:
    return ReplayServer(lambda _: Reply(200, SSE, list(pieces), ending))


def client_of(server: ReplayServer, **options: Any) -> DifyClient:
    return DifyClient("app-secret", base_url=server.base_url, **options)


def async_client_of(server: ReplayServer, **options: Any) -> AsyncDifyClient:
    return AsyncDifyClient("app-secret", base_url=server.base_url, **options)


def test_leaving_early_stops_the_run() -> None:
    with serve(token("a"), token("b"), ending="open") as server:
        with client_of(server).stream(ASK) as stream:
            for _ in stream:
                break
        assert server.wait_for_stop() == "t1"
        [stop] = [request for request in server.requests if request.path.endswith("/stop")]
        assert (stop.path, stop.json) == ("/v1/chat-messages/t1/stop", {"user": "ann"})
        assert stop.headers["authorization"] == "Bearer app-secret"


def test_an_error_of_the_consumer_stops_the_run_and_is_not_masked() -> None:
    with serve(token("a"), ending="open") as server:
        with pytest.raises(KeyError, match="mine"), client_of(server).stream(ASK) as stream:
            for _ in stream:
                raise KeyError("mine")
        assert server.wait_for_stop() == "t1"


def test_a_stop_that_fails_masks_nothing() -> None:
    server = serve(token("a"), ending="open")
    with server, pytest.raises(KeyError), client_of(server, max_retries=0).stream(ASK) as stream:
        for _ in stream:
            server.__exit__()  # nothing answers any more
            raise KeyError


async def test_leaving_early_stops_the_run_async() -> None:
    with serve(token("a"), ending="open") as server:
        async with async_client_of(server).stream(ASK) as stream:
            async for _ in stream:
                break
        assert server.stopped == ["t1"]


async def test_cancelling_the_task_stops_the_run() -> None:
    first = asyncio.Event()

    async def consume(server: ReplayServer) -> None:
        async with async_client_of(server).stream(ASK) as stream:
            async for _ in stream:
                first.set()

    with serve(token("a"), ending="open") as server:
        task = asyncio.create_task(consume(server))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.stopped == ["t1"]


async def test_cancelling_twice_still_stops_the_run() -> None:
    first = asyncio.Event()

    async def consume(server: ReplayServer) -> None:
        async with async_client_of(server).stream(ASK) as stream:
            async for _ in stream:
                first.set()

    with serve(token("a"), ending="open") as server:
        task = asyncio.create_task(consume(server))
        await first.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for_stop) == "t1"


async def test_a_finished_stream_is_not_stopped() -> None:
    with serve(token("a"), END) as server:
        assert client_of(server).send(ASK).text == "a"
        assert (await async_client_of(server).send(ASK)).text == "a"
        with client_of(server).stream(ASK) as stream:
            for event in stream:
                if event.event == "message_end":
                    break
        assert server.stopped == []


async def test_what_came_at_once_is_taken_at_once() -> None:
    with serve(token("a") + token("b"), END) as server:
        with client_of(server).stream(ASK) as stream:
            batches = list(iter(stream.next_steps, []))
        async with async_client_of(server).stream(ASK) as astream:
            abatches = [await astream.next_steps()]
            abatches += [[step async for step in astream.steps()], await astream.next_steps()]
    texts = [[text for _, text in steps if text] for steps in batches]
    assert texts[0] == ["a", "b"]
    assert sum(len(steps) for steps in batches) == sum(len(steps) for steps in abatches) == 3
    assert abatches[-1] == []
    assert stream.answer.text == astream.answer.text == "ab"


def test_tokens_come_out_as_they_come_in() -> None:
    """Each event is delivered before the next one is sent."""
    seen = threading.Semaphore(0)

    def wait() -> None:
        assert seen.acquire(timeout=5)

    with serve(token("a"), wait, token("b"), wait, END) as server:
        texts = []
        with client_of(server).stream(ASK) as stream:
            for _, text in stream.steps():
                if text:
                    texts.append(text)
                    seen.release()
        assert texts == ["a", "b"]


@pytest.mark.parametrize("last", [END, b"event: ping\n\n" + END])
async def test_a_socket_left_open_after_the_end_costs_only_the_grace(
    last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "COMPANION_GRACE", 0.05)
    with serve(token("a"), last, ending="open") as server:
        began = time.monotonic()
        assert client_of(server).send(ASK).text == "a"
        assert (await async_client_of(server).send(ASK)).text == "a"
        assert time.monotonic() - began < 2
        assert server.stopped == []


async def test_a_chatflow_is_over_at_its_second_terminal_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "COMPANION_GRACE", 30.0)
    started = frame("workflow_started", workflow_run_id="r1")
    finished = frame("workflow_finished", data={"status": "succeeded", "outputs": {"answer": "A"}})
    for order in ([END, finished], [finished, END]):
        with serve(started, token("a"), *order, ending="open") as server:
            began = time.monotonic()
            assert client_of(server).send(ASK).text == "A"
            assert (await async_client_of(server).send(ASK)).text == "A"
            assert time.monotonic() - began < 10


async def test_speech_after_the_end_is_waited_for() -> None:
    speech = frame("tts_message", audio="aa")
    with serve(token("a"), speech, END, speech, frame("tts_message_end", audio="")) as server:
        with client_of(server).stream(ASK) as stream:
            assert [event.event for event in stream][-2:] == ["tts_message", "tts_message_end"]
        async with async_client_of(server).stream(ASK) as async_stream:
            names = [event.event async for event in async_stream]
        assert names[-2:] == ["tts_message", "tts_message_end"]


@pytest.mark.parametrize("ending", ["end", "cut"])
async def test_a_stream_without_its_end_is_interrupted(ending: str) -> None:
    with serve(token("half "), token("an answer"), ending=ending) as server:
        texts: list[str] = []
        with pytest.raises(errors.StreamInterruptedError) as raised:
            with client_of(server).stream(ASK) as stream:
                texts.extend(text for _, text in stream.steps())
        with pytest.raises(errors.StreamInterruptedError) as raised_async:
            await async_client_of(server).send(ASK)
    assert "".join(texts) == "half an answer"
    for error in (raised.value, raised_async.value):
        assert error.answer is not None
        assert (error.answer.text, error.answer.conversation_id) == ("half an answer", "c1")
        assert error.retryable


async def test_tokens_before_an_error_in_the_same_piece_are_delivered() -> None:
    failure = frame("error", code="completion_request_error", status=400, message="no")
    with serve(token("a") + token("b") + failure) as server:
        texts: list[str] = []
        with pytest.raises(errors.CompletionRequestError) as raised:
            with client_of(server).stream(ASK) as stream:
                texts.extend(text for _, text in stream.steps())
        with pytest.raises(errors.CompletionRequestError):
            await async_client_of(server).send(ASK)
    assert texts == ["a", "b", ""]
    assert raised.value.answer is not None
    assert raised.value.answer.text == "ab"


async def test_silence_is_an_interruption() -> None:
    timeout = httpx.Timeout(5, read=0.05)
    with serve(token("a"), ending="open") as server:
        for send in (
            client_of(server, timeout=timeout).send,
            async_client_of(server, timeout=timeout).send,
        ):
            with pytest.raises(errors.StreamInterruptedError) as raised:
                result: Any = send(ASK)
                await result
            assert raised.value.answer is not None
            assert raised.value.answer.text == "a"


async def test_pings_are_no_progress() -> None:
    """A worker that died leaves an API that pings for ever."""
    late = threading.Event()
    pings: list[Piece] = [b"event: ping\n\n", lambda: late.wait(0.06) and None] * 20
    with serve(token("a"), *pings, ending="open") as server:
        for send in (
            client_of(server, progress_timeout=0.05).send,
            async_client_of(server, progress_timeout=0.05).send,
        ):
            with pytest.raises(errors.StreamInterruptedError, match=r"no progress for 0\.05 s"):
                result: Any = send(ASK)
                await result
        assert server.stopped == ["t1", "t1"]


async def test_a_ping_and_the_end_hint_at_a_refusal() -> None:
    """How 1.14.2 refuses a missing input in a stream."""
    with serve(b"event: ping\n\n") as server:
        with pytest.raises(errors.StreamInterruptedError, match="blocking") as raised:
            client_of(server).send(ASK)
    assert raised.value.answer is not None
    assert raised.value.answer.text == ""


def test_a_pause_tells_its_forms_and_run() -> None:
    recorded = exchange("dify-1.14.2/chatflow_human2_pause1_streaming")
    with ReplayServer(lambda _: recorded.reply()) as server:
        with pytest.raises(errors.WorkflowPausedError) as raised:
            client_of(server).send(ASK)
    error = raised.value
    assert error.answer is not None
    assert (error.answer.text, error.workflow_run_id) == (
        "Draft: echo: x\n",
        error.answer.workflow_run_id,
    )
    assert [form.form_token for form in error.forms if form.form_token]


async def test_a_page_of_another_service_is_no_answer() -> None:
    page = Reply(200, {"content-type": "text/html"}, [b"<html><title>Login</title></html>"])
    with ReplayServer(lambda _: page) as server:
        with pytest.raises(errors.UnexpectedReplyError, match="base_url"):
            client_of(server).send(ASK)
        with pytest.raises(errors.UnexpectedReplyError, match="base_url"):
            await async_client_of(server).send(ASK)


@pytest.mark.parametrize("content_type", ["Text/Event-Stream", "text/plain", "application/json"])
async def test_a_stream_under_another_content_type_is_read(content_type: str) -> None:
    reply = Reply(200, {"content-type": content_type}, [token("a") + END])
    with ReplayServer(lambda _: reply) as server:
        assert client_of(server).send(ASK).text == "a"
        assert (await async_client_of(server).send(ASK)).text == "a"
        assert server.stopped == []


async def test_a_blocking_answer_that_breaks_off_is_an_interruption() -> None:
    reply = Reply(200, {"content-type": "application/json"}, [b'{"answer": "ha'], ending="cut")
    with ReplayServer(lambda _: reply) as server:
        with pytest.raises(errors.StreamInterruptedError, match="broke before"):
            client_of(server).send(ASK)
        with pytest.raises(errors.StreamInterruptedError, match="broke before"):
            await async_client_of(server).send(ASK)


@pytest.mark.parametrize("together", [True, False])
async def test_what_follows_the_end_counts_not_however_the_bytes_are_cut(together: bool) -> None:
    finished = (
        b"data: "
        + json.dumps(
            {"event": "workflow_finished", "task_id": "t1", "data": {"status": "succeeded"}}
        ).encode()
    )
    pieces = [finished + b"\n\n", frame("error", code="unknown", status=500, message="late")]
    with serve(*([b"".join(pieces)] if together else pieces)) as server:
        run = workflows.run({}, user="ann")
        assert client_of(server).send(run).finish_reason == "stop"
        assert (await async_client_of(server).send(run)).finish_reason == "stop"


def test_comments_are_no_progress() -> None:
    moments = itertools.count(step=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader.time, "monotonic", lambda: next(moments))
        state = reader.AnswerReader("POST /chat-messages", progress_timeout=100)
        for _ in range(4):
            assert not state.is_done
            state.feed(b": keep-alive\n\n")
    assert state.is_done
    with pytest.raises(errors.StreamInterruptedError, match="no progress for 100 s"):
        state.finish()


def test_reattaching_to_a_run_does_not_stop_it_when_left() -> None:
    attach: Operation[Any] = Operation(
        "GET", "/workflow/r1/events", type(ASK.result()), generates=True, repeatable=True
    )
    with serve(token("a"), ending="open") as server, client_of(server).stream(attach) as stream:
        next(iter(stream))
    assert server.stopped == []


async def test_many_streams_at_once_keep_their_texts_apart() -> None:
    def reply(request: Received) -> Reply:
        name = request.json["query"]
        return Reply(200, SSE, [token(f"{name}.{n} ") for n in range(20)] + [END])

    with ReplayServer(reply) as server:
        client = async_client_of(server)
        answers = await asyncio.gather(
            *(client.send(chat.send_message(f"q{n}", user="ann")) for n in range(200))
        )
    for n, answer in enumerate(answers):
        assert answer.text == "".join(f"q{n}.{k} " for k in range(20))


def test_iterating_without_entering_is_a_clear_error() -> None:
    stream = DifyClient("app-x").stream(ASK)
    with pytest.raises(RuntimeError, match="with client"):
        next(iter(stream))


async def test_turns_of_one_conversation_go_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TURNS, "interval", 0.3)
    began: list[float] = []
    busy = threading.Lock()

    def reply(_: Received) -> Reply:
        assert busy.acquire(blocking=False), "two turns at once"
        began.append(time.monotonic())
        return Reply(200, SSE, [token("a"), END, busy.release])

    again = chat.send_message("Hello", user="ann", conversation_id="c1")
    with ReplayServer(reply) as server:
        client, async_client = client_of(server), async_client_of(server)
        client.send(ASK)  # opens c1
        await asyncio.gather(
            async_client.send(again),
            async_client.send(again),
            asyncio.to_thread(client.send, again),
        )
    assert all(later - earlier >= 0.29 for earlier, later in itertools.pairwise(began))
