"""An answer inside of a node, which may wait for a human: read like any other stream.

At a pause the graph is interrupted with the forms, and goes on with the *same* run once they are
filled in. Executed again, the node finds what it has done: nothing is asked of the app twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing
from types import TracebackType
from typing import Any, Literal, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from typing_extensions import Self

from dify_api._calls.end_user import private_answer
from dify_api._runs.resumption import filled
from dify_api._transport.streams import AsyncEventStream, EventStream
from dify_api.answers._reader import Step
from dify_api.answers.answer import Answer
from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.errors import DifyError, InvalidFormDataError, WorkflowPausedError
from dify_api.models import as_json
from dify_api.operation import Operation
from langchain_dify._human_input.graph import AsyncKeeper, Keeper, Record, node_config
from langchain_dify._human_input.node_log import NodeLog, log_of, outcome

HumanInput = Literal["error", "interrupt"]
"""What becomes of an app that waits for a human: `WorkflowPausedError`, or LangGraph's interrupt
where a graph with a checkpointer is running."""

QUESTION_TYPE = "dify_human_input"


class Question(NamedTuple):
    """What a human is asked.

    Attributes:
        value: The value of the interrupt.
        schema: The JSON schema of the reply.
    """

    value: Record
    schema: dict[str, Any]


_BEGIN = "begin"
"""Look up the outcome of the next step; None where it is to be done now."""
_OPEN = "open"
"""Do it: open the stream."""

Course = Generator[str | Record | Question, Any, None]
"""Yields what is to be done, by the edges below: `_BEGIN`, `_OPEN`, a record to keep, a question to
ask; is sent what comes of it."""


class _Progress:
    """What has become of a call of an app in this node: pure, without I/O."""

    def __init__(self, config: RunnableConfig, operation: Operation[Answer], caller: str) -> None:
        self._config = config
        self._operation = operation
        self._caller = caller
        self._log: NodeLog = log_of(config)
        self._paused: Answer | None = None
        self._values: Mapping[str, Any] = {}
        self._refusal: str | None = None
        self._known: Answer | None = None

    @property
    def text_before(self) -> str:
        """What was streamed when the node was executed before."""
        before = self._known or self._paused
        return before.streamed_text if before else ""

    def _course(self, record: Record | None) -> Course:
        """Go through what is known, up to what is to be streamed now.

        Args:
            record: The newest outcome, where it is known.
        """
        while True:
            if record is None:
                record = yield _BEGIN
            if record is None:
                try:
                    yield _OPEN
                except InvalidFormDataError as error:
                    record = self._refused(error)
                    yield record
                else:
                    return
            if not self._is_question(record):
                return
            while not self._take_reply((yield self._question())):
                pass
            record = None

    def _source(self, client: Any) -> Any:
        """The stream of the app's answer, or of what follows its pause."""
        if self._paused is None:
            return client.stream(self._operation)
        user = self._operation.user or ""
        return client.resume_stream(self._paused, self._values, user=user)

    def _outcome_of(self, error: DifyError) -> Record:
        """What a stream came to that did not end in an answer; other errors are raised again."""
        if isinstance(error, WorkflowPausedError):
            return self._outcome(error.answer or Answer(), "paused")
        if isinstance(error, InvalidFormDataError):
            return self._refused(error)
        raise error

    def _outcome(self, answer: Answer, kind: str = "answer") -> Record:
        kept = as_json(private_answer(answer), exclude_none=True)
        return outcome(self._caller, {kind: kept})

    def _refused(self, error: InvalidFormDataError) -> Record:
        if self._paused is None:
            raise error
        return outcome(self._caller, {"refused": error.message})

    def _is_question(self, record: Record) -> bool:
        """Take an earlier outcome; whether a human is to be asked next."""
        if "answer" in record:
            self._known = Answer.model_validate(record["answer"])
            return False
        if "paused" in record:
            self._paused = Answer.model_validate(record["paused"])
        self._refusal = record.get("refused")
        return True

    def _question(self) -> Question:
        paused = cast("Answer", self._paused)
        schema = _schema(paused)
        question = {
            "type": QUESTION_TYPE,
            "workflow_run_id": paused.workflow_run_id,
            "text": paused.text,
            "forms": [as_json(form, exclude_none=True) for form in paused.forms],
            "response_schema": schema,
        }
        if self._refusal is not None:
            question["error"] = self._refusal
        return Question(question, schema)

    def _take_reply(self, reply: Any) -> bool:
        """Take a human's reply; whether it fits the forms."""
        try:
            if not isinstance(reply, Mapping):
                raise ValueError(f"the form is filled with a mapping, not {type(reply).__name__}")
            filled(cast("Answer", self._paused).forms, reply)
        except ValueError as error:
            self._refusal = str(error)
            return False
        self._values, self._refusal = reply, None
        return True


def _schema(paused: Answer) -> dict[str, Any]:
    """The reply: the values of the form, or those of each by the node that asks."""
    schemas = [form.response_schema() for form in paused.forms]
    if len(schemas) == 1:
        return schemas[0]
    names = [form.node_id or form.form_token or "" for form in paused.forms]
    properties = {
        name: {"title": form.node_title or name, **schema}
        for name, form, schema in zip(names, paused.forms, schemas, strict=True)
    }
    return {"type": "object", "properties": properties, "minProperties": 1}


class InterruptingStream(_Progress):
    """`EventStream` in a node: it interrupts the graph instead of raising `WorkflowPausedError`."""

    def __init__(
        self,
        client: DifyClient,
        config: RunnableConfig,
        operation: Operation[Answer],
        caller: str,
    ) -> None:
        super().__init__(config, operation, caller)
        self._client = client
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
        if self._keeper is not None and error is None:  # left early, with what there is
            self._keep(self._outcome(self.answer))
        self._give_up()

    def steps(self) -> Iterator[Step]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        while self._stream is not None:
            try:
                yield from self._stream.steps()
            except DifyError as error:
                record = self._outcome_of(error)
                self._keep(record)
                self._go_on(record)
            else:
                self._keep(self._outcome(self._stream.answer))
                return

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
        except BaseException:
            self._give_up()
            raise

    def _do(self, step: str | Record | Question) -> Any:
        if isinstance(step, Question):
            return self._log.ask(self._config, self._caller, step.value, step.schema)
        if isinstance(step, dict):
            return self._keep(step)
        if step == _OPEN:
            self._stream = self._opened.enter_context(self._source(self._client))
            return None
        self._opened.close()
        self._stream = None
        begun = self._log.begin(self._config, self._caller)
        if isinstance(begun, Keeper):
            self._keeper = begun
            return None
        return begun

    def _keep(self, record: Record) -> None:
        if self._keeper is not None:
            self._keeper.keep(record)
            self._keeper = None

    def _give_up(self) -> None:
        if self._keeper is not None:
            self._keeper.give_up()
            self._keeper = None


class AsyncInterruptingStream(_Progress):
    """`InterruptingStream` for asyncio."""

    def __init__(
        self,
        client: AsyncDifyClient,
        config: RunnableConfig,
        operation: Operation[Answer],
        caller: str,
    ) -> None:
        super().__init__(config, operation, caller)
        self._client = client
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
            if self._keeper is not None and error is None:  # left early, with what there is
                await self._keep(self._outcome(self.answer))
        finally:
            self._give_up()

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        while self._stream is not None:
            try:
                async with aclosing(self._stream.steps()) as steps:
                    async for step in steps:
                        yield step
            except DifyError as error:
                record = self._outcome_of(error)
                await self._keep(record)
                await self._go_on(record)
            else:
                await self._keep(self._outcome(self._stream.answer))
                return

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
        except BaseException:
            self._give_up()
            raise

    async def _do(self, step: str | Record | Question) -> Any:
        if isinstance(step, Question):
            return await self._log.aask(self._config, self._caller, step.value, step.schema)
        if isinstance(step, dict):
            return await self._keep(step)
        if step == _OPEN:
            self._stream = await self._opened.enter_async_context(self._source(self._client))
            return None
        await self._opened.aclose()
        self._stream = None
        begun = await self._log.abegin(self._config, self._caller)
        if isinstance(begun, AsyncKeeper):
            self._keeper = begun
            return None
        return begun

    async def _keep(self, record: Record) -> None:
        if self._keeper is not None:
            await self._keeper.keep(record)
            self._keeper = None

    def _give_up(self) -> None:
        if self._keeper is not None:
            self._keeper.give_up()
            self._keeper = None


def answering(
    client: DifyClient, operation: Operation[Answer], human_input: HumanInput, caller: str
) -> EventStream | InterruptingStream:
    """The stream of an app's answer, as its caller wants pauses.

    Args:
        client: A client of the app.
        operation: The call.
        human_input: What becomes of a pause.
        caller: Who calls, among all that do in one node: an app, or a tool's call.
    """
    config = node_config() if human_input == "interrupt" else None
    if config is None:
        return client.stream(operation)
    return InterruptingStream(client, config, operation, caller)


def aanswering(
    client: AsyncDifyClient, operation: Operation[Answer], human_input: HumanInput, caller: str
) -> AsyncEventStream | AsyncInterruptingStream:
    """`answering` for asyncio."""
    config = node_config() if human_input == "interrupt" else None
    if config is None:
        return client.stream(operation)
    return AsyncInterruptingStream(client, config, operation, caller)


def text_before(stream: object) -> str:
    """What was streamed of an answer when the node was executed before; "" outside of a node."""
    return stream.text_before if isinstance(stream, _Progress) else ""
