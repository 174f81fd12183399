"""Turns of one conversation wait for each other, across threads and event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dify_api._transport.turns import Turn, Turns
from dify_api.errors import ConversationBusyError
from tests.support.turns import async_turn_of, turn_of

KEY = ("app", "c1")


async def test_two_turns_never_overlap() -> None:
    turns, active, most = Turns(interval=0), 0, 0

    async def one() -> None:
        nonlocal active, most
        async with async_turn_of(turns, KEY):
            active += 1
            most = max(most, active)
            await asyncio.sleep(0)
            active -= 1

    await asyncio.gather(*(one() for _ in range(50)))
    assert most == 1


async def test_other_conversations_do_not_wait() -> None:
    turns, other = Turns(interval=0), ("app", "c2")
    async with async_turn_of(turns, KEY, 5), async_turn_of(turns, other, 5):
        with turn_of(turns, ("app", "c3"), 5):
            assert [*turns._queues] == [KEY, other, ("app", "c3")]


async def test_a_thread_and_a_loop_wait_for_each_other() -> None:
    turns = Turns(interval=0)
    order: list[str] = []
    entered = threading.Event()

    def in_thread() -> None:
        entered.set()
        with turn_of(turns, KEY):
            order.append("thread")

    async with async_turn_of(turns, KEY):
        thread = threading.Thread(target=in_thread)
        thread.start()
        await asyncio.to_thread(entered.wait)
        order.append("loop")
    await asyncio.to_thread(thread.join)
    assert order == ["loop", "thread"]


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    turns = Turns(interval=0)

    async def take() -> str:
        async with async_turn_of(turns, KEY):
            return "done"

    async with async_turn_of(turns, KEY):
        cancelled, waiting = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not waiting.done()
    assert await waiting == "done"


@pytest.mark.parametrize("is_free", [True, False])
async def test_a_cancellation_while_a_turn_comes_is_one(is_free: bool) -> None:
    async def hold(turns: Turns) -> None:
        async with async_turn_of(turns, KEY):
            await asyncio.sleep(10)

    for passes in range(8):  # of the loop, between the turn's coming and the cancellation
        turns = Turns(interval=0)
        before = turns.take(KEY)
        if is_free:
            before.leave()
        holding = asyncio.create_task(hold(turns))
        await asyncio.sleep(0)
        before.leave()
        for _ in range(passes):
            await asyncio.sleep(0)
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(holding, 1)
        assert not turns._queues


async def test_requests_leave_an_interval_after_the_response_before_began() -> None:
    turns = Turns(interval=0.2)
    came, began = [], []
    for take in (turns.atake, turns.atake, lambda key: asyncio.to_thread(turns.take, key)):
        turn = await take(KEY)
        came.append(time.monotonic())
        await asyncio.sleep(0.05)  # the time that the request takes to get there
        turn.begin()
        began.append(time.monotonic())
        turn.leave()
    assert came[1] - began[0] >= 0.199
    assert came[2] - began[1] >= 0.199


def test_the_interval_is_a_second_unless_told_otherwise() -> None:
    turns, began = Turns(), []
    for _ in range(2):
        with turn_of(turns, KEY):
            began.append(time.monotonic())
    assert began[1] - began[0] >= 0.99


def test_an_error_in_a_turn_frees_it() -> None:
    turns = Turns(interval=0)
    with pytest.raises(KeyError), turn_of(turns, KEY):
        raise KeyError
    with turn_of(turns, KEY):
        pass


def test_a_turn_that_never_ends_is_told() -> None:
    turns = Turns(interval=0)
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(turns.take, KEY).result()
        with pytest.raises(ConversationBusyError, match="c1"), turn_of(turns, KEY, 0.01):
            pass
        kept.leave()
    with turn_of(turns, KEY):  # the queue is in order again
        pass


async def test_a_turn_that_never_ends_is_told_async() -> None:
    turns = Turns(interval=0)

    async def keep(until: asyncio.Event) -> None:
        async with async_turn_of(turns, KEY):
            await until.wait()

    until = asyncio.Event()
    keeping = asyncio.create_task(keep(until))
    await asyncio.sleep(0)
    with pytest.raises(ConversationBusyError, match="c1"):
        async with async_turn_of(turns, KEY, 0.01):
            pass
    until.set()
    await keeping
    async with async_turn_of(turns, KEY):
        pass


def test_who_keeps_a_turn_is_told_at_once() -> None:
    turns = Turns(interval=0)
    kept = turns.take(KEY)
    with pytest.raises(ConversationBusyError, match="kept here"):
        turns.take(KEY)
    with pytest.raises(ConversationBusyError, match="kept here"):
        asyncio.run(turns.atake(KEY))
    kept.leave()
    turns.take(KEY).leave()


async def test_a_task_that_keeps_a_turn_is_told_at_once() -> None:
    turns = Turns(interval=0)
    kept = await turns.atake(KEY)
    with pytest.raises(ConversationBusyError, match="kept here"):
        await turns.atake(KEY)
    with pytest.raises(ConversationBusyError, match="kept here"):
        turns.take(KEY)  # the loop would stand still
    waiting = asyncio.create_task(turns.atake(KEY))  # another task may wait
    await asyncio.sleep(0)
    kept.leave()
    (await waiting).leave()


def test_a_worker_of_a_pool_waits_for_another_worker() -> None:
    """Web servers read a stream in whichever worker is free."""
    turns = Turns(interval=0)
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(turns.take, KEY).result()
        waiting = pool.submit(turns.take, KEY, 5)
        kept.leave()
        waiting.result().leave()


def test_a_wait_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dify_api._transport.turns.PATIENCE", 0.01)
    turns = Turns(interval=0)
    with ThreadPoolExecutor(1) as pool:
        kept = pool.submit(turns.take, KEY).result()
        with pytest.raises(ConversationBusyError, match=r"still going on after 0\.05 s"):
            turns.take(KEY, 0.05)
        with pytest.raises(ConversationBusyError, match=r"still going on after 0\.05 s"):
            asyncio.run(turns.atake(KEY, 0.05))
        kept.leave()
    assert caplog.messages == ["waiting for an earlier turn of conversation c1 to end"] * 2


async def test_many_waiters_that_give_up_break_nothing() -> None:
    """Each turn that ends while waiters are cancelled passes over those that were told so."""
    turns = Turns(interval=0)
    for _ in range(20):
        kept = await turns.atake(KEY)
        waiting = [asyncio.create_task(turns.atake(KEY)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        kept.leave()
        done = 0
        for task in waiting:
            try:
                (await task).leave()
                done += 1
            except asyncio.CancelledError:
                pass
        assert done == 5
    assert turns._queues == {}


def test_who_began_a_conversation_holds_its_first_turn() -> None:
    turns = Turns(interval=0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(turns.hold, KEY).result()
        with pytest.raises(ConversationBusyError):
            turns.take(KEY, 0.01)
        first.leave()
        first.leave()
        turns.take(KEY).leave()


def test_a_turn_is_left_while_its_thread_looks_after_others() -> None:
    """The garbage collector may close a stream at any place."""
    turns = Turns(interval=0)
    abandoned: list[Turn] = []

    class Conversation(str):
        __slots__ = ()

        def __hash__(self) -> int:
            while abandoned:
                abandoned.pop().leave()
            return super().__hash__()

    key = ("app", Conversation("c1"))

    def take() -> None:
        with ThreadPoolExecutor(1) as pool:
            abandoned.append(pool.submit(turns.take, key).result())
        turns.take(key, 5).leave()
        done.set()

    done = threading.Event()
    threading.Thread(target=take, daemon=True).start()
    assert done.wait(5)
    assert turns._queues == {}
