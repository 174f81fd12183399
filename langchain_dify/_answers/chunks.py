"""An answer's events -> LangChain's chunks and, at the end, its message.

The same object serves `stream`, `astream`, `invoke` and `ainvoke`; it knows no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, Generation, GenerationChunk

from dify_api._calls.input_message import Marks
from dify_api.answers._reader import Step
from dify_api.answers._tool_calls import Call
from dify_api.answers.answer import Answer
from dify_api.answers.events import (
    AgentThoughtEvent,
    Event,
    MessageReplaceEvent,
    PingEvent,
    ReasoningChunkEvent,
    TTSMessageEvent,
)
from langchain_dify._answers.content_blocks import ServerTools
from langchain_dify._answers.metadata import closing_metadata, opening_metadata, usage_metadata
from langchain_dify._answers.replacement import (
    MESSAGE_REPLACE,
    DifyGenerationChunk,
    DifyMessageChunk,
    replacement,
)
from langchain_dify._answers.text import TextFilter, is_scrambled, unseen
from langchain_dify._answers.token_chunks import TokenChunks
from langchain_dify._answers.tool_calls import invalid_calls, unreadable_arguments, valid_calls
from langchain_dify._names import MODEL_NAME, MODEL_PROVIDER


class AnswerSource(Protocol):
    """A stream that is being read: `EventStream` or `AsyncEventStream`."""

    @property
    def answer(self) -> Answer:
        """The answer as far as it has come."""
        ...


class AnswerProgress:
    """How far an answer has come, and what its consumer has seen of it.

    Args:
        source: The stream that is read.
        marks: What the answer is marked with.
        text_filter: What is done to the text.
        model: Name of the app as a model.
    """

    def __init__(
        self,
        source: AnswerSource,
        marks: Marks,
        text_filter: TextFilter,
        model: str = MODEL_NAME,
    ) -> None:
        self._source = source
        self._marks = marks
        self._model = model
        self._filter = text_filter
        self._opened: dict[str, Any] | None = None
        self._message_id: str | None = None
        self._said: list[str] = []
        """Pieces of what the chunks so far add up to."""
        self.is_plain = False
        """Whether text goes straight to `token`: the answer has begun and nothing changes it."""

    @property
    def is_cut(self) -> bool:
        """Whether a stop sequence ended the answer, so that the rest is not wanted."""
        return self._filter.is_cut

    def watch(self, steps: Iterable[Step]) -> list[Event]:
        """Take events whose chunks nobody wants, up to a stop sequence.

        Returns:
            Those that add no text.
        """
        others = []
        for event, text in steps:
            if not text:
                others.append(event)
            elif not self._filter.is_plain:
                self._filter.feed(text)
                if self._filter.is_cut:
                    break
        return others

    def _open(self) -> dict[str, Any] | None:
        """What the first chunk says, once the answer can be named.

        The first chunk is the first that has content: until then a failure leaves fallbacks and
        retries free to act.
        """
        answer = self._source.answer
        if self._opened is not None or not (answer.task_id or answer.message_id):
            return None
        self._opened = opening_metadata(answer, self._marks)
        self._message_id = answer.message_id
        self.is_plain = self._filter.is_plain
        return self._opened

    def _late(self, answer: Answer) -> dict[str, Any]:
        """What the first chunk could not say yet."""
        opening = opening_metadata(answer, self._marks)
        opened = self._opened or {}
        return {name: value for name, value in opening.items() if name not in opened}

    def _replace(self, text: str) -> tuple[str, str | None]:
        """The moderator rewrites what was said; return a piece and what it replaces all by."""
        self._filter = self._filter.fresh()  # what it held back is taken back too
        return self._catch_up(self._filter.feed(text)[0])

    def _complete(self, answer: Answer) -> tuple[str, str | None]:
        """The piece after which the chunks come to the answer, and what it replaces all by."""
        return self._catch_up(self._filter.whole(answer.text)[0], by_server=True)

    def _catch_up(self, text: str, *, by_server: bool = False) -> tuple[str, str | None]:
        said = "".join(self._said)
        if text.startswith(said):
            return text[len(said) :], None
        self._said = [text]
        shown = "" if by_server and is_scrambled(said, text) else unseen(said, text)
        return shown, text

    def _finish_reason(self, calls: Sequence[Call] = ()) -> dict[str, str]:
        if valid_calls(calls):
            return {"finish_reason": "tool_calls"}
        return {"finish_reason": "stop"} if self._filter.is_cut else {}


class AnswerChunks(AnswerProgress):
    """Makes the chunks of a chat answer, in the order in which its events come."""

    def __init__(
        self,
        source: AnswerSource,
        marks: Marks,
        text_filter: TextFilter,
        model: str = MODEL_NAME,
    ) -> None:
        super().__init__(source, marks, text_filter, model)
        self._tokens = _UNNAMED
        self._server_tools = ServerTools()
        self._speech: list[str] = []

    def token(self, text: str) -> ChatGenerationChunk:
        """The chunk of a piece of text."""
        self._said.append(text)
        return self._tokens.make(text)

    def pass_on(self, text: str) -> ChatGenerationChunk:
        """`token` for who takes the message and leaves the chunk, which is the same each time."""
        self._said.append(text)
        return self._tokens.pass_on(text)

    def take(self, event: Event, text: str) -> list[ChatGenerationChunk]:
        """The chunks of any event."""
        if isinstance(event, PingEvent):
            return []
        self._tokens.sum_up()
        return self._begun(self._text_chunks(text) if text else self._event_chunks(event))

    def seen(self, text: str) -> list[ChatGenerationChunk]:
        """The chunk of text that the consumer has seen before: nothing to print, and added up."""
        if not text:
            return []
        shown, _ = self._filter.feed(text)
        self._said = [shown]
        mark = {MESSAGE_REPLACE: replacement(shown)}
        return self._begun([self._chunk(response_metadata=mark)])

    def watch(self, steps: Iterable[Step]) -> list[Event]:
        others = super().watch(steps)
        for event in others:
            # `isinstance` takes pydantic's classes long where the answer is no.
            if type(event) is TTSMessageEvent and event.audio:
                self._speech.append(event.audio)
        return others

    def finish(self) -> list[ChatGenerationChunk]:
        """The chunks that end the answer."""
        self._tokens.sum_up()
        answer = self._source.answer
        rest, reasoning = self._filter.end()
        chunks = [self.token(rest)] if rest else []
        if reasoning:
            chunks.append(self._chunk(additional_kwargs={"reasoning_content": reasoning}))
        chunks += self._pieces(*self._complete(answer))
        _, _, calls = self._filter.whole(answer.text)
        last = self._chunk(
            response_metadata={**self._late(answer), **self._closing(answer, calls)},
            usage_metadata=usage_metadata(answer),
            tool_call_chunks=_call_chunks(calls),
            id=self._message_id or answer.message_id,
            chunk_position="last",
        )
        return self._begun([*chunks, last])

    def message(self) -> AIMessage:
        """The whole answer at once: what the merged chunks come to."""
        answer = self._source.answer
        text, reasoning, calls = self._filter.whole(answer.text)
        kept: dict[str, Any] = {}
        if self._filter.reasoning:
            _, streamed_reasoning, _ = self._filter.whole(answer.streamed_text)
            reasoning = answer.reasoning + (reasoning or streamed_reasoning)
        if reasoning:
            kept["reasoning_content"] = reasoning
        tools = [block for t in answer.agent_thoughts for block in self._server_tools.take(t)]
        if tools:
            kept["server_tools"] = tools
        if self._speech:
            kept["speech"] = [{"base64": piece} for piece in self._speech]
        return AIMessage(
            content=text,
            additional_kwargs=kept,
            response_metadata={
                **opening_metadata(answer, self._marks),
                **self._closing(answer, calls),
            },
            usage_metadata=usage_metadata(answer),
            tool_calls=valid_calls(calls),
            invalid_tool_calls=invalid_calls(calls),
            id=answer.message_id,
        )

    def _text_chunks(self, text: str) -> list[ChatGenerationChunk]:
        shown, reasoning = self._filter.feed(text)
        chunks = [self.token(shown)] if shown else []
        if reasoning:
            chunks.append(self._chunk(additional_kwargs={"reasoning_content": reasoning}))
        return chunks

    def _event_chunks(self, event: Event) -> list[ChatGenerationChunk]:
        kept: dict[str, Any] = {}
        if isinstance(event, AgentThoughtEvent):
            if blocks := self._server_tools.take(event):
                kept["server_tools"] = blocks
        elif isinstance(event, ReasoningChunkEvent):
            if self._filter.reasoning and event.data.reasoning:
                kept["reasoning_content"] = event.data.reasoning
        elif isinstance(event, TTSMessageEvent) and event.audio:
            kept["speech"] = [{"base64": event.audio}]
        elif isinstance(event, MessageReplaceEvent):
            return self._pieces(*self._replace(event.answer), event.reason)
        return [self._chunk(additional_kwargs=kept)] if kept else []

    def _pieces(
        self, shown: str, text: str | None, reason: str | None = None
    ) -> list[ChatGenerationChunk]:
        if text is None:
            return [self.token(shown)] if shown else []
        mark = {MESSAGE_REPLACE: replacement(text, reason)}
        return [self._chunk(response_metadata=mark, content=shown)]

    def _begun(self, chunks: list[ChatGenerationChunk]) -> list[ChatGenerationChunk]:
        """The chunks, the first of an answer with what it says."""
        if chunks and (opening := self._open()):
            self._tokens = TokenChunks(self._message())
            chunks[0].message.response_metadata |= opening
            for chunk in chunks:
                chunk.message.id = self._message_id
        return chunks

    def _closing(self, answer: Answer, calls: Sequence[Call]) -> dict[str, Any]:
        return {**closing_metadata(answer, self._model), **self._finish_reason(calls)}

    def _chunk(self, **fields: Any) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=self._message(**fields))

    def _message(
        self,
        response_metadata: Mapping[str, Any] | None = None,
        content: str = "",
        **fields: Any,
    ) -> DifyMessageChunk:
        # Each with the provider, by which its content blocks are found; it merges with itself.
        metadata = {"model_provider": MODEL_PROVIDER, **(response_metadata or {})}
        fields.setdefault("id", self._message_id)
        return DifyMessageChunk(content=content, response_metadata=metadata, **fields)


class GenerationChunks(AnswerProgress):
    """Makes the chunks of a completion, and its generation at once."""

    def take(self, event: Event, text: str) -> list[GenerationChunk]:
        """The chunks of any event."""
        if isinstance(event, MessageReplaceEvent):
            return self._pieces(*self._replace(event.answer), event.reason)
        return self._pieces(self._filter.feed(text)[0] if text else "")

    def finish(self) -> list[GenerationChunk]:
        """The chunks that end the completion."""
        answer = self._source.answer
        chunks = self._pieces(self._filter.end()[0])
        chunks += self._pieces(*self._complete(answer))
        opening = self._opening()
        info = {**self._late(answer), **self._closing_info(answer)}
        return [*chunks, DifyGenerationChunk.of("", {**opening, **info})]

    def generation(self) -> Generation:
        """The whole completion at once: what the merged chunks come to."""
        answer = self._source.answer
        self._message_id = answer.message_id
        opening = opening_metadata(answer, self._marks)
        info = {**self._info(opening), **self._closing_info(answer)}
        return Generation(text=self._filter.whole(answer.text)[0], generation_info=info)

    def _closing_info(self, answer: Answer) -> dict[str, Any]:
        """With the usage where tracers look for that of a generation that is no message."""
        usage = usage_metadata(answer)
        counted = {"usage_metadata": dict(usage)} if usage else {}
        return {**closing_metadata(answer, self._model), **counted, **self._finish_reason()}

    def _info(self, opening: dict[str, Any]) -> dict[str, Any]:
        return {**opening, "message_id": self._message_id}

    def _pieces(
        self, shown: str, text: str | None = None, reason: str | None = None
    ) -> list[GenerationChunk]:
        if text is not None:
            mark = {MESSAGE_REPLACE: replacement(text, reason)}
            return [DifyGenerationChunk.of(shown, {**self._opening(), **mark})]
        if not shown:
            return []
        self._said.append(shown)
        return [DifyGenerationChunk.of(shown, self._opening() or None)]

    def _opening(self) -> dict[str, Any]:
        """What the first chunk says; nothing for those after it."""
        opening = self._open()
        return self._info(opening) if opening else {}


_UNNAMED = TokenChunks(DifyMessageChunk(content=""))
"""Makes the chunks of an answer that has no id."""


def _call_chunks(calls: Sequence[Call]) -> list[Any]:
    return [
        tool_call_chunk(
            name=call.name,
            args=unreadable_arguments(call) if call.error else json.dumps(call.arguments),
            id=call.id,
            index=index,
        )
        for index, call in enumerate(calls)
    ]
