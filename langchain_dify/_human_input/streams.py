"""An answer inside of a node, which may wait for a human: read like any other stream.

At a pause the graph is interrupted with the forms, and goes on with the *same* run once they are
filled in. Executed again, the node finds what it has done: nothing is asked of the app twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, ExitStack
from types import TracebackType
from typing import Any

from langchain_core.runnables import RunnableConfig
from typing_extensions import Self

from dify_api._runs.flows import Flow, arun, run
from dify_api._transport.streams import AsyncEventStream, EventStream
from dify_api.answers._reader import Step
from dify_api.answers.answer import Answer
from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.errors import DifyError
from dify_api.operation import Operation
from langchain_dify._human_input.course import OPEN, Progress, Question
from langchain_dify._human_input.graph import AsyncKeeper, Keeper, Record, node_config
from langchain_dify._human_input.node_log import failure, log_of
from langchain_dify._names import HumanInput


class InterruptingStream(Progress):
    """`EventStream` in a node: it interrupts the graph instead of raising `WorkflowPausedError`."""

    def __init__(
        self,
        client: DifyClient,
        config: RunnableConfig,
        call: Flow[Operation[Answer]],
        caller: str,
        user: str,
    ) -> None:
        super().__init__(caller)
        self._client = client
        self._config = config
        self._call = call
        self._user = user
        self._log = log_of(config)
        self._keeper: Keeper | None = None
        self._stream: EventStream | None = None
        self._opened = ExitStack()

    @property
    def answer(self) -> Answer:
        """The answer as far as it has come."""
        return self._known or (self._stream.answer if self._stream else Answer())

    def __enter__(self) -> Self:
        self._go_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.close()
        if error is None or isinstance(error, GeneratorExit):  # left with what there is
            self._keep(self._outcome(self.answer))
        self._give_up(error)

    def steps(self) -> Iterator[Step]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        while steps := self.next_steps():
            yield from steps

    def next_steps(self) -> list[Step]:
        """Wait for the next of `steps`, and return what came with it; [] at the end."""
        while self._stream is not None:
            try:
                if steps := self._stream.next_steps():
                    return steps
            except DifyError as error:
                record = self._outcome_of(error)
                self._keep(record)
                self._go_on(record)
            else:
                self._keep(self._outcome(self._stream.answer))
                break
        return []

    def _go_on(self, record: Record | None = None) -> None:
        course, done = self._course(record), None
        try:
            next_step = next(course)
            while True:
                try:
                    done = self._do(next_step)
                except DifyError as error:
                    next_step = course.throw(error)
                else:
                    next_step = course.send(done)
        except StopIteration:
            return
        except BaseException as error:
            self._give_up(error)
            raise

    def _do(self, step: str | Record | Question) -> Any:
        if isinstance(step, Question):
            return self._log.ask(self._config, self._caller, step.value, step.schema)
        if isinstance(step, dict):
            return self._keep(step)
        if step == OPEN:
            self._stream = self._opened.enter_context(self._source())
            return None
        self._opened.close()
        self._stream = None
        begun = self._log.begin(self._config, self._caller)
        if isinstance(begun, Keeper):
            self._keeper = begun
            return None
        return begun

    def _source(self) -> EventStream:
        """The stream of the app's answer, or of what follows its pause."""
        if self._paused is None:
            return self._client.stream(run(self._client, self._call))
        return self._client.resume_stream(self._paused, self._values, user=self._user)

    def _keep(self, record: Record) -> None:
        if self._keeper is not None:
            self._keeper.keep(record)
            self._keeper = None

    def _give_up(self, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._keep(failure(self._caller, error))
        if self._keeper is not None:
            self._keeper.give_up()
            self._keeper = None


class AsyncInterruptingStream(Progress):
    """`InterruptingStream` for asyncio."""

    def __init__(
        self,
        client: AsyncDifyClient,
        config: RunnableConfig,
        call: Flow[Operation[Answer]],
        caller: str,
        user: str,
    ) -> None:
        super().__init__(caller)
        self._client = client
        self._config = config
        self._call = call
        self._user = user
        self._log = log_of(config)
        self._keeper: AsyncKeeper | None = None
        self._stream: AsyncEventStream | None = None
        self._opened = AsyncExitStack()

    @property
    def answer(self) -> Answer:
        """The answer as far as it has come."""
        return self._known or (self._stream.answer if self._stream else Answer())

    async def __aenter__(self) -> Self:
        await self._go_on()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._opened.aclose()
            if error is None or isinstance(error, GeneratorExit):  # left with what there is
                await self._keep(self._outcome(self.answer))
        finally:
            await self._give_up(error)

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        while steps := await self.next_steps():
            for step in steps:
                yield step

    async def next_steps(self) -> list[Step]:
        """Wait for the next of `steps`, and return what came with it; [] at the end."""
        while self._stream is not None:
            try:
                if steps := await self._stream.next_steps():
                    return steps
            except DifyError as error:
                record = self._outcome_of(error)
                await self._keep(record)
                await self._go_on(record)
            else:
                await self._keep(self._outcome(self._stream.answer))
                break
        return []

    async def _go_on(self, record: Record | None = None) -> None:
        course, done = self._course(record), None
        try:
            next_step = next(course)
            while True:
                try:
                    done = await self._do(next_step)
                except DifyError as error:
                    next_step = course.throw(error)
                else:
                    next_step = course.send(done)
        except StopIteration:
            return
        except BaseException as error:
            await self._give_up(error)
            raise

    async def _do(self, step: str | Record | Question) -> Any:
        if isinstance(step, Question):
            return await self._log.aask(self._config, self._caller, step.value, step.schema)
        if isinstance(step, dict):
            return await self._keep(step)
        if step == OPEN:
            self._stream = await self._opened.enter_async_context(await self._source())
            return None
        await self._opened.aclose()
        self._stream = None
        begun = await self._log.abegin(self._config, self._caller)
        if isinstance(begun, AsyncKeeper):
            self._keeper = begun
            return None
        return begun

    async def _source(self) -> AsyncEventStream:
        """The stream of the app's answer, or of what follows its pause."""
        if self._paused is None:
            return self._client.stream(await arun(self._client, self._call))
        return self._client.resume_stream(self._paused, self._values, user=self._user)

    async def _keep(self, record: Record) -> None:
        if self._keeper is not None:
            await self._keeper.keep(record)
            self._keeper = None

    async def _give_up(self, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            await self._keep(failure(self._caller, error))
        if self._keeper is not None:
            self._keeper.give_up()
            self._keeper = None


def answering(
    client: DifyClient,
    call: Flow[Operation[Answer]],
    human_input: HumanInput,
    caller: str,
    user: str,
) -> EventStream | InterruptingStream:
    """The stream of an app's answer, as its caller wants pauses.

    Args:
        client: A client of the app.
        call: Makes the call; in a node that is executed again it is not made.
        human_input: What becomes of a pause.
        caller: Who calls, among all that do in one node: an app, or a tool's call.
        user: The end user.
    """
    config = node_config() if human_input == "interrupt" else None
    if config is None:
        return client.stream(run(client, call))
    return InterruptingStream(client, config, call, caller, user)


async def aanswering(
    client: AsyncDifyClient,
    call: Flow[Operation[Answer]],
    human_input: HumanInput,
    caller: str,
    user: str,
) -> AsyncEventStream | AsyncInterruptingStream:
    """`answering` for asyncio."""
    config = node_config() if human_input == "interrupt" else None
    if config is None:
        return client.stream(await arun(client, call))
    return AsyncInterruptingStream(client, config, call, caller, user)


def text_before(stream: object) -> str:
    """What was streamed of an answer when the node was executed before; "" outside of a node."""
    return stream.text_before if isinstance(stream, Progress) else ""
