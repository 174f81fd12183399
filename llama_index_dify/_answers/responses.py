"""An `Answer` as LlamaIndex's responses, each thing in the place where its readers look.

* `raw`: a mapping of everything that Dify said; `raw["usage"]` is what token counters read.
* `additional_kwargs` of the response (not of the message, see `records`): the token counts and
  the ids, for tracers and for callers.
* `message.blocks`: one `TextBlock`; before it a `ThinkingBlock` with the reasoning, if any, and
  the record by which a later call continues the conversation.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urljoin

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.instrumentation.span import active_span_id

from dify_api._calls.end_user import private_answer, private_event
from dify_api._calls.input_message import Marks
from dify_api.answers._reader import Step
from dify_api.answers._stop import StopSequences
from dify_api.answers._thinking import ThinkSplitter
from dify_api.answers._tool_calls import Call, ToolCallReader
from dify_api.answers.answer import Answer
from dify_api.answers.events import Event, ReasoningChunkEvent, TTSMessageEvent
from dify_api.endpoints.audio import type_of_speech
from dify_api.models import AnswerFile, RetrieverResource, as_json
from llama_index_dify import events
from llama_index_dify._answers.node_spans import NodeSpans
from llama_index_dify._answers.records import DifyChatMessage, Origin, record
from llama_index_dify._answers.span_facts import add_span_facts, current_span
from llama_index_dify._answers.streamed import (
    GrowingText,
    StreamedChatResponse,
    StreamedCompletionResponse,
)

ResponseT = TypeVar("ResponseT", ChatResponse, CompletionResponse)
_NOT_RAW = {"text", "streamed_text", "reasoning"}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
IDS = ("conversation_id", "message_id", "task_id", "workflow_run_id")


class Responses(ABC, Generic[ResponseT]):
    """Makes the responses of one answer as its events come; knows no I/O.

    Make it within the model's call: what goes on inside the app belongs to that call's span.

    Args:
        reasoning: Whether `<think>` text and reasoning events are kept out of the text.
        stop: Sequences at which the answer ends.
        user: The end user, whose name no event and no span tells.
    """

    def __init__(self, reasoning: bool, stop: Sequence[str] = (), *, user: str) -> None:
        self._text = GrowingText()
        self._thinking: list[str] = []
        self._speech: list[str] = []
        self._splitter = ThinkSplitter() if reasoning else None
        self._stop = StopSequences(stop) if stop else None
        self._user = user
        self._span_id = active_span_id.get()
        self._span = current_span()
        self.spans = NodeSpans(self._span_id)
        """Those of the app's nodes, to be closed with the stream."""
        self.on_event: Callable[[events.DifyEvent], None] | None = None
        """Also told what is dispatched."""
        self.on_answer: Callable[[Answer], None] | None = None
        """Told the whole answer."""
        self._has_begun = False
        self._is_plain = False  # from the second response on, where text passes as it is
        self.reader: ToolCallReader | None = None
        """Takes tool calls out of the text."""
        self.calls: list[Call] = []
        """The tool calls of the whole answer."""
        self.marks: Marks = {}
        """What the answer is marked with; known once the call is prepared."""

    @property
    def is_cut(self) -> bool:
        """Whether a stop sequence has come, so that the rest is not wanted."""
        return self._stop is not None and self._stop.found

    def go_on_after(self, streamed: str) -> None:
        """Take note of text that was streamed before a pause, and told then."""
        thinking = ""
        if self._splitter is not None:
            streamed, thinking = self._splitter.feed(streamed)
        if self._stop is not None:
            streamed = self._stop.feed(streamed)
        if self.reader is not None:
            streamed = self.reader.feed(streamed)
        self._thinking += [thinking] if thinking else []
        self._text.pieces += [streamed] if streamed else []

    def take(self, event: Event, text: str) -> ResponseT | None:
        """The response to an event that adds `text` to the answer; None where nothing shows."""
        if self._is_plain:
            self._text.pieces.append(text)
            return self._after(self._text, text)
        thinking = ""
        if self._splitter is not None:
            text, thinking = self._splitter.feed(text)
        if self._stop is not None:
            text = self._stop.feed(text)
        if self.reader is not None:
            text = self.reader.feed(text)
        return self._respond(event, text, thinking) if text or thinking else None

    def watch(self, steps: Sequence[Step]) -> None:
        """Take events of a call that does not stream, and their text, up to a stop sequence."""
        for event, text in steps:
            if not text:
                self.note(event)
            elif self._stop is not None:
                self._stop.feed(text if self._splitter is None else self._splitter.feed(text)[0])
                if self._stop.found:
                    return

    def note(self, event: Event) -> ResponseT | None:
        """Take an event without text: dispatch what it tells, respond to reasoning."""
        if events.is_told(event):
            event = private_event(event, self._user)
            self.spans.take(event)
            told = events.dispatch(event, self._span_id)
            if told is not None and self.on_event is not None:
                self.on_event(told)
        elif isinstance(event, TTSMessageEvent) and event.audio:
            self._speech.append(event.audio)
        elif isinstance(event, ReasoningChunkEvent) and event.data.reasoning and self._splitter:
            return self._respond(event, "", event.data.reasoning)
        return None

    def last(self, answer: Answer) -> ResponseT:
        """The response that ends a stream: the right text, whatever was streamed, and the rest."""
        answer = self._ended(answer)
        text, thinking = self._parts(answer)
        streamed = self._text.until(len(self._text.pieces))
        delta = text[len(streamed) :] if text.startswith(streamed) else ""
        return self._whole(answer, text, thinking, delta)

    def only(self, answer: Answer) -> ResponseT:
        """The response of a call that does not stream."""
        return self._whole(self._ended(answer), *self._parts(answer), None)

    def of_answer(self, answer: Answer) -> ResponseT:
        """The response of an answer that was told before."""
        return self._whole(answer, *self._parts(answer), None)

    def _ended(self, answer: Answer) -> Answer:
        """The answer, which a stop sequence ended before its last event."""
        add_span_facts(self._span, answer)
        if self.on_answer is not None:
            self.on_answer(answer)
        return answer.model_copy(update={"finish_reason": "stop"}) if self.is_cut else answer

    def _parts(self, answer: Answer) -> tuple[str, str]:
        """Text and reasoning."""
        text, thinking = answer.text, ""
        if self._splitter is not None:
            text, thinking = ThinkSplitter.split(text)
            thinking = answer.reasoning or thinking or "".join(self._thinking)
        if self._stop is not None:
            text = self._stop.whole(text)
        if self.reader is not None:
            text, self.calls = self.reader.split(text)
        return text, thinking

    def _respond(self, event: Event, text: str, thinking: str = "") -> ResponseT:
        """The first response tells where the answer stands, so that it can be stopped."""
        additional_kwargs = {} if self._has_begun else _ids(event)
        self._has_begun = True
        self._is_plain = self._splitter is None and self._stop is None and self.reader is None
        if thinking:
            self._thinking.append(thinking)
            additional_kwargs["thinking_delta"] = thinking
        if text:
            self._text.pieces.append(text)
        return self._after(self._text, text, **additional_kwargs)

    @staticmethod
    @abstractmethod
    def _after(text: GrowingText, delta: str, **additional_kwargs: Any) -> ResponseT:
        """The response of a running stream."""

    @abstractmethod
    def _whole(self, answer: Answer, text: str, thinking: str, delta: str | None) -> ResponseT:
        """The response of a whole answer; `delta` is None unless it ends a stream."""


class ChatResponses(Responses[ChatResponse]):
    """Chat responses.

    Args:
        reasoning: Whether `<think>` text and reasoning events are kept out of the text.
        base_url: Address of the API.
        content_blocks: Whether citations, tool calls and files become blocks of the message.
        stop: Sequences at which the answer ends.
        user: The end user.
    """

    _after = staticmethod(StreamedChatResponse.after)

    def __init__(
        self,
        reasoning: bool,
        base_url: str,
        content_blocks: bool = False,
        stop: Sequence[str] = (),
        *,
        user: str,
    ) -> None:
        super().__init__(reasoning, stop, user=user)
        self._base_url = base_url
        self._content_blocks = content_blocks

    def _whole(self, answer: Answer, text: str, thinking: str, delta: str | None) -> ChatResponse:
        told = raw(answer)
        return ChatResponse(
            message=answer_message(
                answer,
                text,
                Origin(self.marks, self._base_url),
                told,
                thinking=thinking,
                content_blocks=self._content_blocks,
                speech=self._speech,
            ),
            delta=delta,
            raw=told,
            additional_kwargs=_additional_kwargs(answer),
        )


class CompletionResponses(Responses[CompletionResponse]):
    """Completion responses."""

    _after = staticmethod(StreamedCompletionResponse.after)

    def _whole(
        self, answer: Answer, text: str, thinking: str, delta: str | None
    ) -> CompletionResponse:
        return CompletionResponse(
            text=text, delta=delta, raw=raw(answer), additional_kwargs=_additional_kwargs(answer)
        )


def raw(answer: Answer) -> dict[str, Any]:
    """What Dify said beside the text, as JSON values."""
    return as_json(private_answer(answer), exclude=_NOT_RAW)


def _additional_kwargs(answer: Answer) -> dict[str, Any]:
    """Token counts and ids, as far as the answer has them."""
    usage = answer.usage
    counts = {name: getattr(usage, name) for name in _COUNTS} if usage is not None else {}
    return {**counts, **_ids(answer)}


def _ids(source: Answer | Event) -> dict[str, str]:
    """The ids that an answer or an event has."""
    found = {name: getattr(source, name, None) for name in IDS}
    return {name: value for name, value in found.items() if value is not None}


def answer_message(
    answer: Answer,
    text: str,
    origin: Origin,
    told: Mapping[str, Any],
    *,
    thinking: str = "",
    content_blocks: bool = False,
    speech: Sequence[str] = (),
) -> DifyChatMessage:
    """The answer as a message of the history.

    Args:
        answer: The answer.
        text: Its text, without reasoning where that is kept apart.
        origin: Where it comes from.
        told: What `raw` says of it.
        thinking: The reasoning.
        content_blocks: Whether citations, tool calls, files and speech become blocks.
        speech: Pieces of the answer read aloud, in base64.
    """
    kept = record(answer, origin, told["retriever_resources"])
    # Thinking comes first, as in other integrations: the one for Gemini repeats whatever stands
    # before a block without content.
    blocks: list[ContentBlock] = [
        ThinkingBlock(content=thinking or None, additional_information=kept),
        TextBlock(text=text),
    ]
    if content_blocks:
        blocks += _tool_calls(answer)
        blocks += _files(answer, origin.base_url)
        blocks += _spoken(speech)
        blocks += [_citation(resource) for resource in answer.retriever_resources]
    return DifyChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)


def _citation(resource: RetrieverResource) -> CitationBlock:
    numbers = {
        name: value
        for name in ("position", "segment_position", "page", "word_count", "hit_count")
        if (value := getattr(resource, name)) is not None
    }
    return CitationBlock(
        cited_content=TextBlock(text=resource.content),
        source=resource.segment_id or resource.document_id or "",
        title=resource.document_name or resource.title or "",
        additional_location_info=numbers,
    )


def _tool_calls(answer: Answer) -> Iterator[ToolCallBlock]:
    """The tools that an agent called on the server, each call of a thought under its name."""
    for thought in answer.agent_thoughts:
        names = [name for name in (thought.tool or "").split(";") if name]
        given = _json_object(thought.tool_input)
        for name in names:
            own = given.get(name)
            yield ToolCallBlock(
                tool_call_id=thought.id,
                tool_name=name,
                tool_kwargs=own if isinstance(own, dict) else given,
            )


def _json_object(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _files(answer: Answer, base_url: str) -> Iterator[ContentBlock]:
    for file in answer.files:
        url = file.url or file.remote_url
        if url:
            yield _file(file, urljoin(base_url, url))


def _spoken(pieces: Sequence[str]) -> Iterator[AudioBlock]:
    """The pieces as one: their base64 cannot just be joined, for it is padded."""
    if pieces:
        audio = b"".join(base64.b64decode(piece) for piece in pieces)
        name = type_of_speech(audio).removeprefix("audio/")
        yield AudioBlock(audio=audio, format="mp3" if name == "mpeg" else name)


def _file(file: AnswerFile, url: str) -> ContentBlock:
    if file.type == "image":
        return ImageBlock(url=url, image_mimetype=file.mime_type)
    if file.type == "audio":
        return AudioBlock(url=url, format=(file.extension or "").lstrip(".") or None)
    if file.type == "video":
        return VideoBlock(url=url, video_mimetype=file.mime_type)
    return DocumentBlock(url=url, title=file.filename, document_mimetype=file.mime_type)
