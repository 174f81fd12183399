"""The session map: one conversation for each session, however many machines serve it."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.storage.kvstore import SimpleKVStore

from dify_local import LocalDify
from llama_index_dify import Dify, DifyChatEngine, DifySessions


class SlowStore(SimpleKVStore):
    """A store over a network: others get between any two of its operations."""

    def put(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.002)
        super().put(*args, **kwargs)

    def get_all(self, *args: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
        time.sleep(0.001)
        return dict(super().get_all(*args, **kwargs))

    async def aput(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(0.002)
        SimpleKVStore.put(self, *args, **kwargs)

    async def aget_all(self, *args: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
        await asyncio.sleep(0)
        return dict(super().get_all(*args, **kwargs))


def test_a_session_keeps_its_conversation() -> None:
    sessions = DifySessions(SimpleKVStore())
    first = sessions.begin("ann/1")
    assert first.conversation_id is None
    sessions.end(first, "c1")
    assert sessions.begin("ann/1").conversation_id == "c1"
    assert sessions.get("ann/1") == "c1"
    assert sessions.begin("ann/2").conversation_id is None
    sessions.forget("ann/1")
    assert sessions.get("ann/1") is None


def test_a_first_turn_that_fails_lets_the_next_one_begin() -> None:
    sessions = DifySessions(SimpleKVStore())
    sessions.end(sessions.begin("ann/1"), None)
    assert sessions.begin("ann/1").claim is not None


def test_first_turns_pass_one_by_one_in_threads() -> None:
    store = SlowStore()
    inside = threading.Lock()
    begun: list[str | None] = []

    def turn(number: int) -> None:
        sessions = DifySessions(store)  # as on a machine of its own
        session = sessions.begin("ann/1")
        if session.claim is None:
            begun.append(session.conversation_id)
            return
        assert inside.acquire(blocking=False), "two first turns at once"
        try:
            # The first two fail; the next one creates the conversation.
            failed = len(begun) < 2
            begun.append(None)
        finally:
            inside.release()
        sessions.end(session, None if failed else f"c{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(8)))
    assert begun[:3] == [None, None, None]
    assert len(set(begun[3:])) == 1
    assert begun[3] is not None
    assert store.get_all("dify_sessions/ann/1") == {}


async def test_first_turns_pass_one_by_one_in_tasks() -> None:
    store = SlowStore()
    created = []

    async def turn(number: int) -> str | None:
        sessions = DifySessions(store)
        session = await sessions.abegin("ann/1")
        if session.claim is not None:
            created.append(number)
            await asyncio.sleep(0)
            await sessions.aend(session, f"c{number}")
            return f"c{number}"
        return session.conversation_id

    conversations = await asyncio.gather(*(turn(number) for number in range(20)))
    assert len(created) == 1
    assert set(conversations) == {f"c{created[0]}"}


async def test_who_stops_waiting_leaves_nothing_behind() -> None:
    store = SimpleKVStore()
    sessions = DifySessions(store)
    first = await sessions.abegin("ann/1")
    waiting = asyncio.create_task(sessions.abegin("ann/1"))
    await asyncio.sleep(0.01)  # it polls
    assert len(store.get_all("dify_sessions/ann/1")) == 2
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert list(store.get_all("dify_sessions/ann/1")) == [first.claim]


def test_a_machine_that_went_away_keeps_nobody_waiting() -> None:
    store = SimpleKVStore()
    gone = DifySessions(store, lease=0.0)
    gone.begin("ann/1")
    assert DifySessions(store, lease=0.0).begin("ann/1").claim is not None


# In engines -------------------------------------------------------------------------------------


async def test_two_first_turns_at_once(llm: Dify) -> None:
    store = SlowStore()
    engines = [DifyChatEngine(llm, sessions=DifySessions(store), session_id="1") for _ in range(3)]
    answers = await asyncio.gather(
        engines[0].achat("/echo one"), engines[1].achat("/echo two"), engines[2].achat("/echo 3")
    )
    conversations = {answer.metadata["conversation_id"] for answer in answers if answer.metadata}
    assert len(conversations) == 1
    history = await engines[0].achat_history()
    assert {m.content for m in history if m.role == "user"} == {"/echo one", "/echo two", "/echo 3"}
    assert len(engines[1].chat_history) == 6


async def test_others_wait_only_for_the_first_token(llm: Dify, local: LocalDify) -> None:
    """A first turn that streams for long lets the next one on as soon as it has an id."""
    sessions = DifySessions(SimpleKVStore())
    slow = DifyChatEngine(llm, sessions=sessions, session_id="1")
    response = await slow.astream_chat("/echo one two three")
    tokens = response.async_response_gen()
    assert await tokens.__anext__() == "one "
    key = f"{llm.app}/"
    (session,) = [name for name in sessions._store.get_all("dify_sessions") if key in name]
    assert await sessions.aget(session)
    assert [token async for token in tokens] == ["two ", "three"]


def test_sessions_of_users_and_apps_are_their_own(llm: Dify, local: LocalDify) -> None:
    sessions = DifySessions(SimpleKVStore())

    def conversation(model: Dify, **kwargs: Any) -> str:
        engine = DifyChatEngine(model, sessions=sessions, session_id="1")
        metadata = engine.chat("/echo hi", **kwargs).metadata
        assert metadata is not None
        return str(metadata["conversation_id"])

    other = Dify(api_key=local.keys["advanced-chat"], base_url=local.base_url, user="ann")
    found = [conversation(llm), conversation(llm, user="bob"), conversation(other)]
    assert len(set(found)) == 3
    assert conversation(llm) == found[0]


def test_reset_forgets_the_session_for_everyone(llm: Dify) -> None:
    sessions = DifySessions(SimpleKVStore())
    here = DifyChatEngine(llm, sessions=sessions, session_id="1")
    there = DifyChatEngine(llm, sessions=sessions, session_id="1")
    first = here.chat("/echo hi").metadata
    there.reset()
    second = here.chat("/echo hi").metadata
    assert first is not None
    assert second is not None
    assert first["conversation_id"] != second["conversation_id"]


async def test_reset_forgets_the_sessions_of_users_named_for_a_turn(llm: Dify) -> None:
    engine = DifyChatEngine(llm, sessions=DifySessions(SimpleKVStore()), session_id="s")
    conversations = set()
    for reset in (engine.reset, None):
        response = engine.chat("/echo one", user="bob")
        assert response.metadata is not None
        conversations.add(response.metadata["conversation_id"])
        if reset:
            reset()
    await engine.areset()
    last = await engine.achat("/echo two", user="bob")
    assert last.metadata is not None
    conversations.add(last.metadata["conversation_id"])
    assert len(conversations) == 3


def test_a_failed_first_turn_begins_no_session(llm: Dify) -> None:
    sessions = DifySessions(SimpleKVStore())
    engine = DifyChatEngine(llm, sessions=sessions, session_id="1")
    with pytest.raises(Exception, match="Server Unavailable"):
        engine.chat("/fail now")
    assert engine.chat("/echo hi").response == "hi"


def test_half_a_session_is_an_error(llm: Dify) -> None:
    with pytest.raises(ValueError, match="belong together"):
        DifyChatEngine(llm, session_id="1")
    with pytest.raises(ValueError, match="has its own conversation"):
        sessions = DifySessions(SimpleKVStore())
        DifyChatEngine(llm, sessions=sessions, session_id="1", conversation_id="c")
