"""Turns of one conversation wait for each other, across threads and event loops."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from dify_api._transport.turns import Turns
from dify_api.errors import ConversationBusyError

KEY = ("app", "c1")


async def test_two_turns_never_overlap() -> None:
    turns, active, most = Turns(interval=0), 0, 0

    async def one() -> None:
        nonlocal active, most
        async with turns.aturn(KEY):
            active += 1
            most = max(most, active)
            await asyncio.sleep(0)
            active -= 1

    await asyncio.gather(*(one() for _ in range(50)))
    assert most == 1


async def test_other_conversations_and_new_ones_do_not_wait() -> None:
    turns = Turns(interval=0)
    async with turns.aturn(KEY), turns.aturn(("app", "c2")), turns.aturn(None), turns.aturn(None):
        pass
    with turns.turn(None), turns.turn(None):
        pass


async def test_a_thread_and_a_loop_wait_for_each_other() -> None:
    turns = Turns(interval=0)
    order: list[str] = []
    entered = threading.Event()

    def in_thread() -> None:
        entered.set()
        with turns.turn(KEY):
            order.append("thread")

    async with turns.aturn(KEY):
        thread = threading.Thread(target=in_thread)
        thread.start()
        await asyncio.to_thread(entered.wait)
        order.append("loop")
    await asyncio.to_thread(thread.join)
    assert order == ["loop", "thread"]


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    turns = Turns(interval=0)

    async def take() -> str:
        async with turns.aturn(KEY):
            return "done"

    async with turns.aturn(KEY):
        cancelled, waiting = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not waiting.done()
    assert await waiting == "done"


async def test_turns_begin_an_interval_apart() -> None:
    turns = Turns(interval=0.2)
    began = []
    for _ in range(2):
        async with turns.aturn(KEY):
            began.append(time.monotonic())
    with turns.turn(KEY):
        began.append(time.monotonic())
    assert began[1] - began[0] >= 0.2
    assert began[2] - began[1] >= 0.2


def test_an_error_in_a_turn_frees_it() -> None:
    turns = Turns(interval=0)
    with pytest.raises(KeyError), turns.turn(KEY):
        raise KeyError
    with turns.turn(KEY):
        pass


def test_a_turn_that_never_ends_is_told() -> None:
    turns = Turns(interval=0)
    with turns.turn(KEY), pytest.raises(ConversationBusyError, match="c1"), turns.turn(KEY, 0.01):
        pass
    with turns.turn(KEY):  # the queue is in order again
        pass


async def test_a_turn_that_never_ends_is_told_async() -> None:
    turns = Turns(interval=0)
    async with turns.aturn(KEY):
        with pytest.raises(ConversationBusyError, match="c1"):
            async with turns.aturn(KEY, 0.01):
                pass
    async with turns.aturn(KEY):
        pass
