"""Which Dify conversation a session of your application continues, for several machines.

Chat stores hold messages only, so the map from session to conversation has a place of its own: a
`BaseKVStore` (Redis, Postgres, Mongo, a file). Such stores cannot compare and set. So first
turns, which create the conversation, pass one by one by Lamport's bakery: each draws a number
and waits for those before it. It needs no more than reading and writing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from llama_index.core.storage.kvstore.types import BaseKVStore

T = TypeVar("T")
_Action = tuple[str, tuple[Any, ...]]
_Flow = Generator[_Action, Any, T]

_POLL = 0.05
"""Seconds between two looks at those who are before us."""


@dataclass(frozen=True)
class SessionTurn:
    """A turn of a session.

    Attributes:
        session: The session.
        conversation_id: The conversation to continue; None if this turn creates it.
        claim: What other first turns wait for; None if there is a conversation.
    """

    session: str
    conversation_id: str | None
    claim: str | None = None


class DifySessions:
    """Maps sessions to conversations.

    Args:
        store: Where the map is kept, shared by all machines.
        collection: Name of the store's collection.
        lease: Seconds after which a first turn that brought no conversation no longer keeps
            others waiting (its machine may be gone). Clocks must agree better than that.

    Example:
        >>> sessions = DifySessions(RedisKVStore(redis_uri="redis://..."))
        >>> engine = DifyChatEngine(llm, sessions=sessions, session_id="ann/42")
    """

    def __init__(
        self, store: BaseKVStore, *, collection: str = "dify_sessions", lease: float = 120.0
    ) -> None:
        self._store = store
        self._collection = collection
        self._lease = lease

    def begin(self, session: str) -> SessionTurn:
        """Begin a turn. A first turn waits for other first turns of the session."""
        claim = uuid4().hex
        try:
            return self._run(self._begin(session, claim))
        except BaseException:
            self._store.delete(claim, self._claims(session))
            raise

    async def abegin(self, session: str) -> SessionTurn:
        """`begin` for asyncio."""
        claim = uuid4().hex
        try:
            return await self._arun(self._begin(session, claim))
        except BaseException:
            await self._store.adelete(claim, self._claims(session))
            raise

    def end(self, turn: SessionTurn, conversation_id: str | None) -> None:
        """End a first turn: keep its conversation, or None if there came none."""
        self._run(self._end(turn, conversation_id))

    async def aend(self, turn: SessionTurn, conversation_id: str | None) -> None:
        """`end` for asyncio."""
        await self._arun(self._end(turn, conversation_id))

    def get(self, session: str) -> str | None:
        """The conversation of a session, if it has one."""
        return _conversation(self._store.get(session, collection=self._collection))

    async def aget(self, session: str) -> str | None:
        """`get` for asyncio."""
        return _conversation(await self._store.aget(session, collection=self._collection))

    def forget(self, session: str) -> None:
        """Let the next turn of a session begin a new conversation."""
        self._store.delete(session, collection=self._collection)

    async def aforget(self, session: str) -> None:
        """`forget` for asyncio."""
        await self._store.adelete(session, collection=self._collection)

    # The protocol, without I/O ------------------------------------------------------------------

    def _begin(self, session: str, claim: str) -> _Flow[SessionTurn]:
        claims = self._claims(session)
        kept = yield "get", (session, self._collection)
        if kept:
            return SessionTurn(session, _conversation(kept))
        yield "put", (claim, _claim(0), claims)  # 0: still drawing a number
        others = yield "get_all", (claims,)
        number = 1 + max((other["number"] for other in others.values()), default=0)
        yield "put", (claim, _claim(number), claims)
        while True:
            others = yield "get_all", (claims,)
            is_first = not self._before(others, claim, number)
            # Read after the claims: who was before us kept its conversation, then left.
            kept = yield "get", (session, self._collection)
            if kept:
                yield "delete", (claim, claims)
                return SessionTurn(session, _conversation(kept))
            if is_first:
                return SessionTurn(session, None, claim)
            yield "sleep", (_POLL,)

    def _end(self, turn: SessionTurn, conversation_id: str | None) -> _Flow[None]:
        if turn.claim is None:
            return
        if conversation_id is not None:
            value = {"conversation_id": conversation_id}
            yield "put", (turn.session, value, self._collection)
        yield "delete", (turn.claim, self._claims(turn.session))

    def _claims(self, session: str) -> str:
        """The collection of the claims of those who wait to begin a session."""
        return f"{self._collection}/{session}"

    def _before(self, claims: dict[str, dict[str, Any]], claim: str, number: int) -> bool:
        """Whether a living claim is before ours, or may yet be."""
        oldest = time.time() - self._lease
        return any(
            other["at"] > oldest and (other["number"], name) < (number, claim)
            for name, other in claims.items()
            if name != claim
        )

    # The edge -----------------------------------------------------------------------------------

    def _run(self, flow: _Flow[T]) -> T:
        try:
            name, arguments = next(flow)
            while True:
                act = time.sleep if name == "sleep" else getattr(self._store, name)
                name, arguments = flow.send(act(*arguments))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a generator's return value is Any

    async def _arun(self, flow: _Flow[T]) -> T:
        try:
            name, arguments = next(flow)
            while True:
                act = asyncio.sleep if name == "sleep" else getattr(self._store, f"a{name}")
                name, arguments = flow.send(await act(*arguments))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a generator's return value is Any


def _claim(number: int) -> dict[str, Any]:
    return {"number": number, "at": time.time()}


def _conversation(kept: dict[str, Any] | None) -> str | None:
    conversation_id = (kept or {}).get("conversation_id")
    return conversation_id if isinstance(conversation_id, str) else None
