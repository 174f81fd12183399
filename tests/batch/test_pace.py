"""The limits, on a clock of the test's own where time counts."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from dify_batch import Limits
from dify_batch._pace import Outcome, Pace


async def requests(pace: Pace, count: int, seconds: float, outcome: Outcome) -> list[float]:
    """Make requests of so many seconds all at once; return when each began."""
    loop, began = asyncio.get_running_loop(), []

    async def one() -> None:
        if await pace.acquire():
            began.append(loop.time())
            await asyncio.sleep(seconds)
            pace.release(outcome)

    first = loop.time()
    await asyncio.gather(*(one() for _ in range(count)))
    return sorted(moment - first for moment in began)


async def test_no_more_requests_at_a_time_than_allowed() -> None:
    began = await requests(Pace(Limits(concurrency=5)), 20, 0.05, Outcome())
    assert len(began) == 20
    assert began[5] >= 0.05
    assert began[15] >= 0.15


async def test_requests_per_second() -> None:
    pace = Pace(Limits(concurrency=50, requests_per_second=50))
    began = await requests(pace, 20, 0.0, Outcome())
    assert began[-1] >= 18 / 50


async def test_tokens_per_minute() -> None:
    """1,000 a second, 10,000 at once: 30 answers of 500 use up 5,000 more, in 5 seconds."""
    now = 0.0
    pace = Pace(Limits(concurrency=4, tokens_per_minute=60_000), clock=lambda: now)
    begun = 0

    async def one() -> None:
        nonlocal begun
        assert await pace.acquire()
        begun += 1
        pace.release(Outcome(tokens=500))

    tasks = [asyncio.ensure_future(one()) for _ in range(30)]
    await asyncio.sleep(0.05)
    at_once = begun
    assert 20 <= at_once <= 21
    now = 2.0
    await asyncio.sleep(0.6)
    assert 3 <= begun - at_once <= 5
    now = 60.0
    await asyncio.gather(*tasks)


async def test_refusals_lower_what_goes_on_and_answers_raise_it_again() -> None:
    pace = Pace(Limits(concurrency=16), clock=lambda: 0.0)
    for _ in range(2):
        assert await pace.acquire()
        pace.release(Outcome(is_refused=True))
    assert 7 < pace._allowed < 8
    for _ in range(200):
        assert await pace.acquire()
        pace.release(Outcome())
    assert pace._allowed == 16


async def test_one_refusal_holds_up_nobody_else_and_several_all() -> None:
    now = 0.0
    pace = Pace(Limits(concurrency=4), clock=lambda: now)
    for count in range(1, 6):
        pace._not_before = 0.0
        assert await pace.acquire()
        pace.release(Outcome(is_refused=True))
        assert (pace._not_before > 0) == (count >= 3)


async def test_what_the_server_asks_for_holds_up_all() -> None:
    pace = Pace(Limits(concurrency=8))
    assert await pace.acquire()
    pace.release(Outcome(is_refused=True, retry_after=0.3))
    began = await requests(pace, 5, 0.0, Outcome())
    assert began[0] >= 0.29


async def test_a_stopped_batch_lets_nobody_wait_on() -> None:
    pace = Pace(Limits(concurrency=2))
    assert await pace.acquire()
    assert await pace.acquire()
    waiting = [asyncio.ensure_future(pace.acquire()) for _ in range(10)]
    await asyncio.sleep(0)
    pace.stop("interrupted")
    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [False] * 10


async def test_the_price_of_what_goes_on_is_counted() -> None:
    pace = Pace(Limits(concurrency=10, max_price=1))
    outcome = Outcome(price=Decimal("0.1"))
    began = await requests(pace, 30, 0.01, outcome)
    assert len(began) == 10
    assert pace.stopped == "price"
