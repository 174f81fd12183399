"""The benchmark measures what it says: whole answers, of every contender that is installed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import answers, bars, report
from benchmarks.cases import CASES, Case
from benchmarks.contenders import ENTRIES, load
from benchmarks.results import Results
from benchmarks.runner import Run, server, titles
from benchmarks.worker import Task, Worker

pytestmark = pytest.mark.slow

TOKENS = 40


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a worker's own process: two of the peers share the name of their package."""
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "dify_client"]:
        del sys.modules[name]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", ENTRIES)
def test_every_contender_receives_every_token(url: str, name: str) -> None:
    measures = {case.measure for case in CASES if name in case.contenders} - {"imports"}
    try:
        worker = Worker(load(name))
    except ImportError as reason:
        pytest.skip(str(reason))
    for measure in sorted(measures):
        for delivery in ("hold",) if measure == "memory" else ("event", "coalesced", "every-1"):
            task = Task(measure, f"{url}/{TOKENS}/{delivery}/v1", TOKENS, times=2, streams=2)
            # A worker compares each answer with the one it should be.
            assert worker.run(task), (measure, delivery)


class Forgetful:
    """A contender that loses a token."""

    def __init__(self, _base_url: str) -> None: ...

    def stream(self) -> Iterator[str]:
        yield from answers.tokens(TOKENS)[:-1]

    async def astream(self) -> AsyncIterator[str]:
        for token in self.stream():
            yield token

    def invoke(self) -> str:
        return "".join(self.stream())

    async def ainvoke(self) -> str:
        return self.invoke()

    def construct(self) -> object:
        return object()


@pytest.mark.parametrize("measure", ["stream", "astream", "invoke", "ainvoke", "first_token"])
def test_a_contender_that_loses_a_token_is_not_measured(measure: str) -> None:
    with pytest.raises(AssertionError, match="characters instead of"):
        Worker(Forgetful).run(Task(measure, "http://unused", TOKENS))


def test_the_floor_makes_a_chunk_for_each_event() -> None:
    floor = load("langchain-floor")
    for delivery, pieces in (
        ("event", answers.tokens(TOKENS)),
        ("letters", tuple(answers.text(TOKENS))),
    ):
        made = tuple(floor(f"http://unused/{TOKENS}/{delivery}/v1").stream())
        assert made == (*pieces, "")  # langchain-core says that it was the last


def test_a_long_answer_is_warmed_up_for_by_a_short_one() -> None:
    for case in CASES:
        warming = case.warming("http://unused")
        if case.fresh or case.streams >= 200:
            assert warming is None
        else:
            assert warming is not None
            assert (warming.measure, warming.streams) == (case.measure, case.streams)
            assert warming.tokens <= 4000
            assert f"/{warming.tokens}/{case.delivery}/" in warming.base_url


def test_both_formats_carry_the_same_tokens() -> None:
    events = [json.loads(event[6:]) for event in answers.dify_events(TOKENS)]
    told = [event["answer"] for event in events if event["event"] == "message"]
    chunks = [json.loads(chunk[6:]) for chunk in answers.openai_events(TOKENS)[:-1]]
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert told == [delta for delta in deltas if delta] == list(answers.tokens(TOKENS))
    assert json.loads(answers.dify_reply(TOKENS))["answer"] == answers.text(TOKENS)


async def test_deliveries_cut_the_same_body_differently(url: str) -> None:
    async with httpx.AsyncClient() as client:

        async def pieces(delivery: str) -> list[bytes]:
            question = {"response_mode": "streaming"}
            request = client.stream("POST", f"{url}/200/{delivery}/v1/chat-messages", json=question)
            async with request as response:
                return [piece async for piece in response.aiter_raw()]

        event, coalesced, paced = await asyncio.gather(
            *(pieces(delivery) for delivery in ("event", "coalesced", "every-1"))
        )
    assert event == paced == answers.dify_events(200)
    assert b"".join(coalesced) == b"".join(event)
    assert len(coalesced) < len(event) / 5


def test_the_server_counts_requests(url: str) -> None:
    before = int(httpx.get(f"{url}/requests").content)
    httpx.post(f"{url}/5/event/v1/chat-messages", json={"response_mode": "blocking"})
    httpx.post(f"{url}/5/event/v1/chat-messages/task/stop", json={"user": "ann"})
    assert int(httpx.get(f"{url}/requests").content) == before + 2


def test_a_run_takes_turns_and_reports_each_figure_and_each_gap(url: str) -> None:
    run = Run(url, rounds=3)
    case = Case("small", "a small case", "stream", ("httpx", "aiohttp"), tokens=TOKENS)
    try:
        run.measure([case])
    finally:
        run.close()
    results = run.results
    assert len(results.rounds("small", "httpx")) == 3
    assert all(figure > 0 for figure in results.rounds("small", "httpx"))
    # aiohttp has no sync stream: that is said, not passed over.
    assert list(results.failed) == ["small / aiohttp"]
    text = report.markdown(results, titles())
    assert "a small case" in text
    assert "small / aiohttp" in text
    assert "not measured" in text


def test_ratios_are_taken_within_rounds() -> None:
    results = Results(figures={"c": {"a": [2.0, 6.0, 9.0], "b": [1.0, 2.0, 3.0], "d": [1.0] * 3}})
    assert bars.ratio(("c", "a"), ("c", "b"))(results) == 3.0
    assert bars.ratio(("c", "a"), ("c", "b"), ("c", "d"))(results) == 2.0
    assert bars.ratio(("c", "a"), ("c", "b"), ("c", "d"), combine=min)(results) == 6.0
    assert bars.difference("c", "a", "b")(results) == 4.0
    assert bars.ratio(("c", "a"), ("c", "unknown"))(results) is None


@pytest.mark.parametrize(("case", "is_plotted"), [("stream", True), ("calls", False)])
def test_a_plot_is_written_where_there_is_something_to_plot(
    tmp_path: Path, case: str, is_plotted: bool
) -> None:
    pytest.importorskip("matplotlib")
    facts = {"python": "3.11", "machine": "a machine", "versions": {}}
    results = Results(facts, {case: {"httpx": [1.0]}}, {case: "a case"}, {case: "us"})
    assert "a case" in report.write(results, titles(), tmp_path)
    written = {file.name for file in tmp_path.iterdir()}
    assert written == {"results.md", "results.json"} | ({"results.svg"} if is_plotted else set())
