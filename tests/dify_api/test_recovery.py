"""Answers whose connection breaks are found again: one generation, one answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dify_api import Answer, AsyncDifyClient, DifyClient, chat, completion, errors, workflows
from dify_api.answers.events import MessageEvent, TextChunkEvent
from dify_local import LocalDify
from tests.support.cassettes import exchange
from tests.support.replay import Reply
from tests.support.story import JSON, Story, cut

MAIN = "dify-1.16.1"
QUERY = "/tokens 6"
TEXT = "t0xx t1xx t2xx t3xx t4xx t5xx "


@pytest.fixture(scope="module")
def local() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


def ask(app: str, query: str = QUERY) -> Any:
    if app == "workflow":
        return workflows.run({"text": query}, user="ann")
    if app == "completion":
        return completion.send_message({"query": query}, user="ann")
    return chat.send_message(query, user="ann")


def client_of(server: LocalDify, app: str, **options: Any) -> DifyClient:
    return DifyClient(server.keys[app], base_url=server.base_url, **options)


def async_client_of(server: LocalDify, app: str, **options: Any) -> AsyncDifyClient:
    return AsyncDifyClient(server.keys[app], base_url=server.base_url, **options)


def generations(server: LocalDify) -> int:
    return sum(r.path.endswith(("/run", "-messages")) for r in server.requests)


def body_of(server: LocalDify, app: str) -> bytes:
    operation = ask(app).as_sent()
    headers = {"Authorization": f"Bearer {server.keys[app]}"}
    url = server.base_url + operation.path
    return httpx.post(url, json=operation.json, headers=headers).content


def followed(client: DifyClient, operation: Any) -> tuple[Answer, str]:
    """The answer, and the text of the events that a consumer sees."""
    with client.stream(operation) as stream:
        pieces = [_text(event) for event in stream]
    return stream.answer, "".join(pieces)


def _text(event: object) -> str:
    if isinstance(event, TextChunkEvent):
        return event.data.text
    return event.answer if isinstance(event, MessageEvent) else ""


def check(answer: Answer, app: str) -> None:
    assert answer.text == TEXT
    if answer.outputs is not None or app == "workflow":  # a chatflow's message may end before
        assert (answer.outputs or {})["text" if app == "workflow" else "answer"] == TEXT
    assert answer.finish_reason == "stop"


# Runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_connection_killed_at_every_event_ends_in_the_whole_answer(
    local: LocalDify, app: str, how: str
) -> None:
    body = body_of(local, app)
    ends = [place + 2 for place in range(len(body)) if body.startswith(b"\n\n", place)]
    for number in range(2, len(ends)):  # the first event after the ping tells the run
        local.clear()
        if how == "reset":
            local.fault("drop", after_bytes=ends[number - 1] + 5)
        else:
            local.fault("close", after_events=number)
        answer, seen = followed(client_of(local, app), ask(app))
        check(answer, app)
        assert seen == TEXT, number
        assert generations(local) == 1
        assert local.stopped == []


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_before_the_run_is_known_the_answer_is_lost(local: LocalDify, app: str) -> None:
    local.clear()
    local.fault("close", after_events=1)
    with pytest.raises(errors.StreamInterruptedError):
        client_of(local, app).send(ask(app))
    assert generations(local) == 1


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
async def test_asyncio_finds_it_again_too(app: str) -> None:
    with LocalDify(token_delay=0.01) as server:
        for number in (3, 6, 9):
            server.clear()
            server.fault("close", after_events=number)
            pieces = []
            async with async_client_of(server, app).stream(ask(app)) as stream:
                pieces = [_text(event) async for event in stream]
            check(stream.answer, app)
            assert "".join(pieces) == TEXT
            assert generations(server) == 1


def test_a_stream_that_breaks_time_and_again(local: LocalDify) -> None:
    with LocalDify(token_delay=0.01) as server:
        server.fault("close", after_events=5)
        server.fault("close", after_events=2)
        server.fault("status", status=503)
        server.fault("drop", after_bytes=300)
        answer, seen = followed(client_of(server, "advanced-chat"), ask("advanced-chat"))
        check(answer, "advanced-chat")
        assert seen == TEXT
        assert generations(server) == 1


def test_silence_longer_than_the_read_timeout_is_a_break(local: LocalDify) -> None:
    local.clear()
    local.fault("silence", after_events=4)
    client = client_of(local, "workflow", timeout=0.3)
    check(client.send(ask("workflow")), "workflow")
    assert generations(local) == 1


def test_without_recover_it_is_an_error_with_what_there_is(local: LocalDify) -> None:
    local.clear()
    local.fault("close", after_events=8)
    client = client_of(local, "advanced-chat", recover=False)
    with pytest.raises(errors.StreamInterruptedError) as raised:
        client.send(ask("advanced-chat"))
    assert raised.value.answer is not None
    assert TEXT.startswith(raised.value.answer.text)
    assert len(local.requests) == 1


def test_a_run_that_the_server_does_not_know_is_lost_at_once() -> None:
    start = exchange(f"{MAIN}/reattach_chatflow_none_start")
    with Story((start.name, cut(start, 6))) as server:
        client = DifyClient("app-x", base_url=server.base_url)
        with pytest.raises(errors.StreamInterruptedError, match="not found again") as raised:
            client.send(ask("chat"))
        assert server.calls()[1:] == ["GET events", "GET detail", "GET history"]
    assert raised.value.answer is not None
    assert raised.value.answer.text


@pytest.mark.parametrize("how", ["none", "snapshot"])
@pytest.mark.parametrize("app", ["workflow", "chatflow"])
def test_a_recorded_drop(app: str, how: str) -> None:
    """Recorded: what is attached to brings the rest, without what was lost between."""
    start = exchange(f"{MAIN}/reattach_{app}_none_start")
    events = exchange(f"{MAIN}/reattach_{app}_{how}")
    where = exchange(f"{MAIN}/reattach_{app}_none").path
    story = Story((start.name, cut(start, 8))).also("GET", where, events.reply())
    with story as server:
        client = DifyClient("app-x", base_url=server.base_url)
        answer, seen = followed(client, ask("workflow" if app == "workflow" else "chat"))
        assert server.calls()[1] == "GET events"
    whole = " ".join(f"w{number}" for number in range(20))
    assert answer.text.strip().startswith("w0 w1 w2") or answer.text.startswith("Draft")
    assert seen == answer.text
    assert whole[:10] in answer.text


def test_a_run_that_pauses_meanwhile_is_a_pause(
    local: LocalDify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_api._runs.following.PATIENCE", 0.2)
    for app in ("workflow", "advanced-chat"):
        for number in (5, 8):
            local.clear()
            local.fault("close", after_events=number)
            client = client_of(local, app)
            with pytest.raises(errors.WorkflowPausedError) as paused:
                client.send(ask(app, "/pause The draft."))
            values = {"comment": "Fine", "action": "approve"}
            answer = client.resume(paused.value, values, user="ann")
            outputs = answer.outputs or {}
            assert outputs.get("answer", outputs.get("text")) == "The draft.\nApprove: Fine"
            assert generations(local) == 1


def test_the_citations_are_found_again(local: LocalDify) -> None:
    local.clear()
    query = "How many moons has Saturn?"
    whole = client_of(local, "advanced-chat").send(chat.send_message(query, user="ann"))
    assert whole.retriever_resources
    local.fault("close", after_events=6)
    answer = client_of(local, "advanced-chat").send(chat.send_message(query, user="ann"))
    segments = [resource.segment_id for resource in whole.retriever_resources]
    assert [resource.segment_id for resource in answer.retriever_resources] == segments
    assert answer.text == whole.text


@pytest.mark.parametrize("version", ["1.12.1"])
def test_servers_without_event_streams_tell_the_outputs(version: str) -> None:
    with LocalDify(version=version, token_delay=0.01) as server:
        server.fault("close", after_events=4)
        answer = client_of(server, "workflow").send(ask("workflow"))
        assert (answer.outputs or {})["text"] == TEXT
        assert answer.text == TEXT
        assert generations(server) == 1


# Messages ------------------------------------------------------------------------------------


class Kept:
    """A recorded answer that breaks off, and a server whose history has it after some looks."""

    def __init__(self, name: str, looks: int, **kept: Any) -> None:
        self.exchange = exchange(name)
        frames = [
            json.loads(frame[6:])
            for frame in self.exchange.body.split(b"\n\n")
            if frame.startswith(b"data: ")
        ]
        first = next(frame for frame in frames if frame.get("message_id"))
        self.text = "".join(
            frame["answer"]
            for frame in frames
            if frame["event"] in ("message", "agent_message") and "answer" in frame
        )
        ids = {"id": first["message_id"], "conversation_id": first["conversation_id"]}
        running = {**ids, "answer": "", "status": "normal"}
        ended = {**running, "answer": self.text.strip(), **kept}
        self.story = Story((name, cut(self.exchange, 4)))
        for message in [*[running] * (looks - 1), ended]:
            page = json.dumps({"data": [message], "has_more": False, "limit": 20})
            self.story.also("GET", "/messages", Reply(200, JSON, [page.encode()]))


@pytest.mark.parametrize("name", ["dify-1.16.0/chat_streaming", "dify-1.16.0/agent_streaming_tool"])
@pytest.mark.parametrize("looks", [1, 3])
def test_a_message_that_was_kept_is_found_again(name: str, looks: int) -> None:
    passage = {"segment_id": "s1", "content": "Saturn"}
    kept = Kept(name, looks, retriever_resources=[passage], total_tokens=9, message_tokens=4)
    with kept.story as server:
        client = DifyClient("app-x", base_url=server.base_url)
        with client.stream(ask("chat")) as stream:
            seen = "".join(text for _, text in stream.steps())
        assert server.calls()[1:] == ["GET history"] * looks
    assert stream.answer.text == seen == kept.text.rstrip()
    assert stream.answer.finish_reason == "stop"
    assert [r.segment_id for r in stream.answer.retriever_resources] == ["s1"]
    assert stream.answer.usage is not None
    assert stream.answer.usage.total_tokens == 9


async def test_asyncio_finds_a_message_again_too() -> None:
    kept = Kept("dify-1.16.0/chat_streaming", 2)
    with kept.story as server:
        answer = await AsyncDifyClient("app-x", base_url=server.base_url).send(ask("chat"))
    assert answer.text == kept.text.rstrip()


def test_another_answer_than_was_streamed_replaces_it() -> None:
    kept = Kept("dify-1.16.0/chat_streaming", 1, answer="Something else.")
    with kept.story as server:
        answer = DifyClient("app-x", base_url=server.base_url).send(ask("chat"))
    assert answer.text == "Something else."
    assert answer.streamed_text != answer.text


def test_a_message_that_failed_is_an_error() -> None:
    kept = Kept("dify-1.16.0/chat_streaming", 1, answer="", status="error", error="No model")
    with kept.story as server, pytest.raises(errors.DifyError, match="No model") as raised:
        DifyClient("app-x", base_url=server.base_url).send(ask("chat"))
    assert raised.value.answer is not None


def test_a_message_that_is_never_kept_is_waited_for_no_longer_than_progress() -> None:
    kept = Kept("dify-1.16.0/chat_streaming", 1, answer="")
    with kept.story as server:
        client = DifyClient("app-x", base_url=server.base_url, progress_timeout=0.5)
        with pytest.raises(errors.StreamInterruptedError, match="kept no answer") as raised:
            client.send(ask("chat"))
        assert server.calls().count("GET history") > 1
    assert raised.value.answer is not None
    assert kept.text.startswith(raised.value.answer.text)


def test_a_completion_names_no_conversation_and_is_lost(local: LocalDify) -> None:
    local.clear()
    local.fault("close", after_events=3)
    with pytest.raises(errors.StreamInterruptedError):
        client_of(local, "completion").send(ask("completion"))
    assert len(local.requests) == 1


# Leaving while it is looked for --------------------------------------------------------------


async def test_who_leaves_while_it_is_looked_for_stops_the_run() -> None:
    with LocalDify(token_delay=0.05) as server:
        server.fault("close", after_events=4)
        refused = server.fault("status", times=50, status=503, path="/events")
        client = async_client_of(server, "workflow", max_retries=0)
        sending = asyncio.ensure_future(client.send(ask("workflow", "/tokens 500")))
        while not refused.happened:
            assert not sending.done()
            await asyncio.sleep(0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.to_thread(server.wait_for_stop)


# Started, left and come back to ---------------------------------------------------------------


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_a_run_is_started_and_come_back_to(app: str) -> None:
    with LocalDify(token_delay=0.02) as server:
        client = client_of(server, app)
        run = client.start(ask(app))
        assert server.stopped == []
        other = client_of(server, app).attach(run.workflow_run_id, user="ann")
        answers = [run.wait(), other.wait(), run.wait()]
        key = "text" if app == "workflow" else "answer"
        assert [(answer.outputs or {})[key] for answer in answers] == [TEXT] * 3
        assert generations(server) == 1
        assert "ann" not in repr(run)
        if app == "advanced-chat":
            assert [answer.text for answer in answers] == [TEXT] * 3
            assert answers[0].conversation_id == run.conversation_id
            assert answers[2].usage is not None


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
async def test_a_started_run_is_stopped_by_its_id(app: str) -> None:
    with LocalDify(token_delay=0.02) as server:
        client = async_client_of(server, app)
        run = await client.start(ask(app, "/tokens 500"))
        async with run.stream() as stream:
            async for event in stream:
                if _text(event):
                    break
        assert server.stopped == []  # leaving leaves it
        await client.attach(run.workflow_run_id, user="ann").stop()
        assert server.stopped == [run.task_id]
        answer = await run.wait()
        assert answer.finish_reason == "stopped"


def test_a_started_run_that_pauses(local: LocalDify) -> None:
    client = client_of(local, "workflow")
    run = client.start(ask("workflow", "/pause The draft."))
    with pytest.raises(errors.WorkflowPausedError) as paused:
        run.wait()
    answer = client.resume(paused.value, {"comment": "Fine", "action": "approve"}, user="ann")
    assert answer.finish_reason == "stop"


def test_an_older_server_tells_the_outputs_of_a_started_run() -> None:
    with LocalDify(version="1.12.1", token_delay=0.01) as server:
        run = client_of(server, "workflow").start(ask("workflow"))
        assert (run.wait().outputs or {})["text"] == TEXT


async def test_a_run_whose_events_are_refused_is_looked_up(local: LocalDify) -> None:
    """As on servers that have no events of runs."""
    local.clear()
    run = client_of(local, "workflow").start(ask("workflow"))
    run.wait()
    local.fault("status", path="/events", status=404, times=2)
    again = client_of(local, "workflow").attach(run.workflow_run_id, user="ann")
    assert (again.wait().outputs or {})["text"] == TEXT
    later = async_client_of(local, "workflow").attach(run.workflow_run_id, user="ann")
    assert ((await later.wait()).outputs or {})["text"] == TEXT


async def test_a_run_is_told_to_its_user_alone(local: LocalDify) -> None:
    run = client_of(local, "workflow").start(ask("workflow"))
    run.wait()
    with pytest.raises(errors.NotFoundError, match="Workflow run not found"):
        client_of(local, "workflow").attach(run.workflow_run_id, user="eve").wait()
    with pytest.raises(errors.NotFoundError, match="Workflow run not found"):
        await async_client_of(local, "workflow").attach(run.workflow_run_id, user="eve").wait()


async def test_an_older_server_tells_the_outputs_of_a_started_run_to_asyncio() -> None:
    with LocalDify(version="1.12.1", token_delay=0.01) as server:
        run = await async_client_of(server, "workflow").start(ask("workflow"))
        assert ((await run.wait()).outputs or {})["text"] == TEXT


def test_only_runs_are_started() -> None:
    client = DifyClient("app-x")
    with pytest.raises(ValueError, match="start begins a run"):
        client.start(completion.send_message({}, user="ann"))
    with pytest.raises(ValueError, match="UUID"):
        client.attach("r1", user="ann")


# Recordings, cut at every event ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["dify-1.16.0/workflow_streaming", "dify-1.16.0/chatflow_ping_streaming"]
)
@pytest.mark.parametrize("lost", [0, 2])
def test_a_recorded_run_that_is_cut_at_every_event(name: str, lost: int) -> None:
    """What is attached to brings the rest; some events are lost between, as on real servers."""
    told = exchange(name)
    frames = [frame + b"\n\n" for frame in told.body.split(b"\n\n") if frame.strip()]
    first = next(frame for frame in frames if b'"workflow_run_id"' in frame)
    run_id = json.loads(first[6:])["workflow_run_id"]
    operation = ask("workflow" if "workflow_s" in name else "advanced-chat")
    with Story(name) as server:
        client = DifyClient("app-x", base_url=server.base_url)
        whole, seen = followed(client, operation)
    assert seen == whole.text
    for number in range(frames.index(first) + 1, len(frames)):
        rest = frames[min(number + lost, len(frames) - 1) :]
        story = Story((name, cut(told, number)))
        story.also("GET", f"/workflow/{run_id}/events", Reply(200, told.headers, list(rest)))
        with story as server:
            client = DifyClient("app-x", base_url=server.base_url)
            answer, seen = followed(client, operation)
            assert sum(request.method == "POST" for request in server.requests) == 1
        if whole.message_id is None:  # its text is that of all outputs together: they count
            assert (answer.outputs, seen) == (whole.outputs, answer.text), number
            continue
        assert answer.text == whole.text, number
        ended = b'"message_end"' in frames[number - 1]  # by the message: no more is asked for
        assert answer.outputs == (None if ended else whole.outputs)
        assert seen == whole.text, number
