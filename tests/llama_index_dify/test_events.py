"""Instrumentation events, spans and callbacks: what is told, where, and what never is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage

from dify_api.errors import DifyError
from dify_local import LocalDify
from llama_index_dify import Dify
from llama_index_dify.events import (
    DifyAgentThoughtEvent,
    DifyFileEvent,
    DifyMessageReplaceEvent,
    DifyNodeFinishedEvent,
    DifyNodeStartedEvent,
    DifyWorkflowFinishedEvent,
    DifyWorkflowStartedEvent,
)
from tests.llama_index_dify.support import STREAMING_WAYS, WAYS, Way, recorded_events


@pytest.fixture
def chatflow(local: LocalDify) -> Dify:
    return Dify(api_key=local.keys["advanced-chat"], base_url=local.base_url, user="ann")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_nodes_of_a_chatflow(way: Way, chatflow: Dify) -> None:
    with recorded_events() as recorder:
        last = (await way(chatflow, "Which planet has most moons?"))[-1]
    started = recorder.of(DifyNodeStartedEvent)
    finished = recorder.of(DifyNodeFinishedEvent)
    assert [e.node.node_type for e in finished] == ["start", "knowledge-retrieval", "llm", "answer"]
    assert {e.node.id for e in started} == {e.node.id for e in finished}
    (begin,) = recorder.of(DifyWorkflowStartedEvent)
    (end,) = recorder.of(DifyWorkflowFinishedEvent)
    assert end.workflow.status == "succeeded"
    assert begin.workflow_run_id == end.workflow_run_id == last.raw["workflow_run_id"]
    # All within the span of the model's call, also those that came after it had returned.
    (call,) = recorder.of(LLMChatStartEvent) + recorder.of(LLMCompletionStartEvent)
    assert call.span_id is not None
    assert call.span_id.startswith("Dify.")
    assert {e.span_id for e in [*started, *finished, begin, end]} == {call.span_id}


def test_thoughts_and_files(local: LocalDify) -> None:
    agent = Dify(api_key=local.keys["agent-chat"], base_url=local.base_url)
    with recorded_events() as recorder:
        agent.chat([ChatMessage("Which planet has most moons?")])
    thoughts = recorder.of(DifyAgentThoughtEvent)
    assert any(event.thought.tool for event in thoughts)
    with recorded_events() as recorder:
        agent.chat([ChatMessage("/files")])
    (file,) = recorder.of(DifyFileEvent)
    assert file.file.url


def test_moderation(llm: Dify) -> None:
    with recorded_events() as recorder:
        llm.chat([ChatMessage("/replace I cannot say that.")])
    (event,) = recorder.of(DifyMessageReplaceEvent)
    assert event.text == "I cannot say that."


def test_events_survive_json(chatflow: Dify) -> None:
    with recorded_events() as recorder:
        chatflow.chat([ChatMessage("/echo hi")])
    (event,) = recorder.of(DifyWorkflowFinishedEvent)
    told = json.loads(event.model_dump_json())
    assert told["workflow"]["outputs"]["answer"] == "hi"
    assert event.model_dump()["class_name"] == "DifyWorkflowFinishedEvent"


@pytest.mark.parametrize("way", STREAMING_WAYS.values(), ids=STREAMING_WAYS)
async def test_events_of_a_stream_come_once(way: Way, llm: Dify) -> None:
    with recorded_events() as recorder:
        responses = await way(llm, "/echo one two three")
    progress = recorder.of(LLMChatInProgressEvent) + recorder.of(LLMCompletionInProgressEvent)
    ends = recorder.of(LLMChatEndEvent) + recorder.of(LLMCompletionEndEvent)
    assert len(progress) == len(responses) == 4
    assert len(ends) == 1
    assert ends[0].response.raw["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_failure_reaches_spans_events_and_callbacks(way: Way, llm: Dify) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm.callback_manager = CallbackManager([debug])
    spans = SimpleSpanHandler()
    root = get_dispatcher()
    root.add_span_handler(spans)
    try:
        with recorded_events() as recorder, pytest.raises(DifyError) as raised:
            await way(llm, "/fail mid")
    finally:
        root.span_handlers.remove(spans)
    ((_, end),) = debug.get_event_pairs(CBEventType.LLM)
    assert end.payload is not None
    assert end.payload["exception"] is raised.value
    # The span of a call that streams ends when the stream is handed over; what comes later is
    # told by an event that names it. A call that does not stream is dropped itself.
    told = recorder.of(ExceptionEvent)
    calls = recorder.of(LLMChatStartEvent) + recorder.of(LLMCompletionStartEvent)
    if told:
        assert [event.exception for event in told] == [raised.value]
        assert told[0].span_id == calls[0].span_id
    else:
        assert [span.id_ for span in spans.dropped_spans] == [calls[0].span_id]
    assert spans.open_spans == {}
    assert len(spans.completed_spans + spans.dropped_spans) == 1  # one call, one span
    assert not recorder.of(LLMChatEndEvent)
    assert not recorder.of(LLMCompletionEndEvent)


class Payloads(BaseCallbackHandler):
    """Keeps every payload as text."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.text = ""

    def on_event_start(self, event_type: Any, payload: Any = None, **_: Any) -> str:  # type: ignore[override]  # the rest is not looked at
        self.text += repr(payload)
        return ""

    def on_event_end(self, event_type: Any, payload: Any = None, **_: Any) -> None:  # type: ignore[override]  # the rest is not looked at
        self.text += repr(payload)

    def start_trace(self, trace_id: str | None = None) -> None:
        pass

    def end_trace(self, *args: Any, **kwargs: Any) -> None:
        pass


@pytest.mark.parametrize("query", ["/echo hi", "/fail mid"])
def test_secrets_are_in_no_payload(query: str, local: LocalDify) -> None:
    key = local.keys["advanced-chat"]
    payloads = Payloads()
    llm = Dify(api_key=key, base_url=local.base_url, default_headers={"X-Gate": "header-secret"})
    llm.callback_manager = CallbackManager([payloads])
    with recorded_events() as recorder:
        error: DifyError | None = None
        try:
            list(llm.stream_chat([ChatMessage(query)]))
        except DifyError as failure:
            error = failure
    assert (error is None) == (query == "/echo hi")
    told = repr(error) + str(error) + repr(vars(error) if error else "")
    told += payloads.text + "".join(repr(event) for event in recorder.seen)
    assert query in told
    for event in recorder.seen:
        if not isinstance(event, ExceptionEvent):
            told += event.model_dump_json()
    assert key not in told
    assert "header-secret" not in told


def test_handler_errors(llm: Dify) -> None:
    """Fact 12: those of callback handlers reach the user; the turn is not left open."""

    class Broken(Payloads):
        def on_event_start(self, *args: Any, **kwargs: Any) -> str:
            raise RuntimeError("broken handler")

    llm.callback_manager = CallbackManager([Broken()])
    with pytest.raises(RuntimeError, match="broken handler"):
        llm.complete("/echo hi")
    llm.callback_manager = CallbackManager([])
    assert llm.complete("/echo hi").text == "hi"
