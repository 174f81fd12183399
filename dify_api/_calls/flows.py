"""Several calls that depend on each other, written once for sync and async.

A generator yields operations and is sent their results; `run` and `arun` make the calls. So
what to ask, and in which order, is pure code without a twin::

    def first_conversation(user: str) -> Flow[str]:
        page = yield conversations.list_conversations(user=user)
        return page.data[0].id

    run(client, first_conversation("ann"))
    await arun(async_client, first_conversation("ann"))
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.errors import DifyError
from dify_api.operation import Operation

T = TypeVar("T")
Flow = Generator[Operation[Any], Any, T]


def run(client: DifyClient, flow: Flow[T]) -> T:
    """Make the calls of `flow` one after the other; return what it returns.

    Raises:
        DifyError: If a call fails and `flow` does not catch it.
    """
    try:
        operation = next(flow)
        while True:
            try:
                result = client.send(operation)
            except DifyError as error:
                operation = flow.throw(error)
            else:
                operation = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's return value is Any


async def arun(client: AsyncDifyClient, flow: Flow[T]) -> T:
    """`run` for asyncio."""
    try:
        operation = next(flow)
        while True:
            try:
                result = await client.send(operation)
            except DifyError as error:
                operation = flow.throw(error)
            else:
                operation = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's return value is Any
