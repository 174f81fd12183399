"""What LlamaIndex's dispatcher and OpenInference are told of an app's answers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span import SimpleSpan
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage
from openinference.instrumentation import using_session
from opentelemetry.trace import StatusCode
from pydantic import PrivateAttr

from dify_api.errors import DifyError
from dify_local import LocalDify
from llama_index_dify import Dify, DifyChatEngine
from tests.contract.exchanges import generations, replayed
from tests.llama_index_dify.support import WAYS, Way, recorded_events
from tests.support.cassettes import Exchange
from tests.support.collectors import Spans, openinference_llama_index
from tests.support.replay import through_proxy

USER, KEY, HEADER, PASSWORD = "canary-user", "app-canarykey", "canary-header", "canary-password"
CANARIES = (USER, KEY, HEADER, PASSWORD)
QUESTION = "Which planet has most moons?"
CHATS = [e for e in generations("/chat-messages") if e.is_stream and e.status == 200]


class Tree(SimpleSpanHandler):
    """Keeps spans, and all that handlers are handed."""

    _told: list[str] = PrivateAttr(default_factory=list)
    _arguments: list[tuple[str, dict[str, Any]]] = PrivateAttr(default_factory=list)

    def new_span(
        self, id_: str, bound_args: inspect.BoundArguments, *args: Any, **kwargs: Any
    ) -> SimpleSpan | None:
        self._told += [repr(bound_args), json.dumps(bound_args.arguments, default=repr)]
        self._told.append(repr(kwargs.get("instance")))
        self._arguments.append((id_.partition("-")[0], dict(bound_args.arguments)))
        return super().new_span(id_, bound_args, *args, **kwargs)

    @property
    def arguments(self) -> list[tuple[str, dict[str, Any]]]:
        """The name of each span's method, and what it was called with."""
        return self._arguments

    @property
    def text(self) -> str:
        return "\n".join(self._told)


@pytest.fixture
def tree() -> Iterator[Tree]:
    handler = Tree()
    dispatcher = get_dispatcher()
    before = list(dispatcher.span_handlers)
    dispatcher.add_span_handler(handler)
    yield handler
    dispatcher.span_handlers = before


@pytest.fixture(scope="module")
def spans() -> Iterator[Spans]:
    with openinference_llama_index() as spans:
        yield spans


@pytest.fixture
def chatflow(local: LocalDify) -> Dify:
    return Dify(
        api_key=local.keys["advanced-chat"],
        base_url=local.base_url,
        user=USER,
        default_headers={"X-Gateway": HEADER},
        model_name="planets",
    )


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_nodes_are_spans(way: Way, chatflow: Dify, spans: Spans) -> None:
    spans.clear()
    last = (await way(chatflow, QUESTION))[-1]
    call = next(span for span in spans.all if span.name.startswith("Dify."))
    assert spans.below(call.name) == ["workflow"]
    assert spans.below("workflow") == ["Start", "Knowledge Retrieval", "LLM", "Answer"]
    assert all(span.status.status_code is StatusCode.OK for span in spans.all)
    assert spans.tokens == last.raw["usage"]["total_tokens"] > 0
    found: Any = spans.named("Knowledge Retrieval").attributes
    assert found["openinference.span.kind"] == "RETRIEVER"
    assert "274 moons" in found["retrieval.documents.0.document.content"]
    told = call.attributes or {}
    assert told["llm.model_name"] == "planets"
    assert told["session.id"] == last.raw["conversation_id"]
    assert told["llm.cost.total"] == float(last.raw["usage"]["total_price"]) > 0
    assert not [canary for canary in CANARIES if canary in spans.text]


def test_the_session_of_the_caller_stays(chatflow: Dify, spans: Spans) -> None:
    spans.clear()
    with using_session("ours"):
        chatflow.chat([ChatMessage(QUESTION)])
    assert {(span.attributes or {})["session.id"] for span in spans.all} == {"ours"}


@pytest.mark.parametrize("exchange", CHATS, ids=lambda e: e.name)
def test_a_recorded_chat(exchange: Exchange, spans: Spans, tree: Tree) -> None:
    spans.clear()
    total = 0
    with replayed(exchange) as base_url, recorded_events() as recorder:
        llm = Dify(
            api_key=KEY,
            base_url=base_url,
            default_headers={"X-Gateway": HEADER},
            proxy=through_proxy(base_url, PASSWORD),
        )
        try:
            response = llm.chat([ChatMessage("Hi?")], user=USER)
            total = ((response.raw or {}).get("usage") or {}).get("total_tokens", 0)
        except DifyError:
            pass
    events = [
        json.loads(line[5:])
        for line in exchange.body.decode(errors="replace").splitlines()
        if line.startswith("data:") and line.endswith("}")
    ]
    begins = ("workflow_started", "node_started", "iteration_started", "loop_started")
    nodes = [event for event in events if event.get("event") in begins]
    tools = {e["id"] for e in events if e.get("event") == "agent_thought" and e.get("tool")}
    assert spans.tokens == total
    assert len(spans.all) == 1 + len(nodes) + len(tools)
    assert not tree.open_spans
    told = "\n".join(event.model_dump_json() for event in recorder.seen)
    for text in (spans.text, tree.text, told):
        assert not [canary for canary in CANARIES if canary in text]


async def test_the_user_of_a_call_is_a_hash(local: LocalDify, chatflow: Dify, tree: Tree) -> None:
    messages, user = [ChatMessage(QUESTION)], "canary-other"
    with recorded_events() as recorder:
        chatflow.chat(messages, user=user)
        chatflow.complete(QUESTION, user=user)
        list(chatflow.stream_chat(messages, user=user))
        list(chatflow.stream_complete(QUESTION, user=user))
        await chatflow.achat(messages, user=user)
        await chatflow.acomplete(QUESTION, user=user)
        async for _ in await chatflow.astream_chat(messages, user=user):
            pass
        async for _ in await chatflow.astream_complete(QUESTION, user=user):
            pass
    told = "\n".join(event.model_dump_json() for event in recorder.seen)
    assert "canary" not in told
    assert "canary" not in tree.text
    sent = [request.json["user"] for request in local.requests if request.path.endswith("messages")]
    assert sent == [user] * 8


def test_the_user_of_a_turn_is_a_hash(local: LocalDify, chatflow: Dify, tree: Tree) -> None:
    engine = DifyChatEngine(chatflow)
    engine.chat(QUESTION, user="canary-other")
    assert "".join(engine.stream_chat(QUESTION, user="canary-other").response_gen)
    assert "canary" not in tree.text
    sent = [request.json["user"] for request in local.requests if request.path.endswith("messages")]
    assert sent == ["canary-other"] * 2


def test_leaving_early_is_no_error(chatflow: Dify, spans: Spans) -> None:
    spans.clear()
    with recorded_events() as recorder:
        for response in chatflow.stream_chat([ChatMessage("/tokens 5000")]):
            if response.delta:
                break
        del response
    (end,) = recorder.of(LLMChatEndEvent)
    assert end.response is not None
    assert not recorder.of(ExceptionEvent)
    assert spans.all
    assert all(span.status.status_code is StatusCode.OK for span in spans.all)


async def test_leaving_early_is_no_error_for_asyncio(chatflow: Dify, spans: Spans) -> None:
    spans.clear()
    with recorded_events() as recorder:
        stream = await chatflow.astream_chat([ChatMessage("/tokens 5000")])
        async for response in stream:
            if response.delta:
                break
        await stream.aclose()
    assert len(recorder.of(LLMChatStartEvent)) == len(recorder.of(LLMChatEndEvent)) == 1
    assert not recorder.of(ExceptionEvent)
    assert all(span.status.status_code is StatusCode.OK for span in spans.all)


def test_dumps_tell_a_hash(chatflow: Dify) -> None:
    for text in (repr(chatflow), str(chatflow.to_dict()), chatflow.to_json(), str(chatflow)):
        assert not [canary for canary in CANARIES if canary in text]
    with pytest.raises(ValueError, match="give the user too"):
        Dify.from_dict(chatflow.to_dict(), api_key="app-x")
    assert Dify.from_dict(chatflow.to_dict(), api_key="app-x", user="bob").user == "bob"


async def test_spans_are_those_of_llama_indexs_dispatcher(chatflow: Dify, tree: Tree) -> None:
    """A method that asks a model is a span above the model's, told in the same way."""

    dispatcher = get_dispatcher()

    class Asking:
        @dispatcher.span
        async def ask(self, messages: list[ChatMessage]) -> None:
            await chatflow.achat(messages)
            await chatflow.achat(messages=messages, stop=["."])
            with pytest.raises(TypeError, match="missing a required argument: 'messages'"):
                await chatflow.achat()

        def signature(self, messages: list[ChatMessage], **kwargs: Any) -> None: ...

    told = inspect.signature(Asking().signature).bind
    messages = [ChatMessage(QUESTION)]
    await Asking().ask(messages)
    outer, *calls = sorted(
        (s for s in tree.completed_spans if s.id_.startswith(("Asking", "Dify."))),
        key=lambda span: span.start_time,
    )
    assert [span.parent_id for span in calls] == [outer.id_] * 2
    for span, name in ((outer, "Asking.ask"), *((call, "Dify.achat") for call in calls)):
        method, _, number = span.id_.partition("-")
        assert (method, UUID(number).version) == (name, 4)
    assert [arguments for name, arguments in tree.arguments if name == "Dify.achat"] == [
        told(messages).arguments,
        told(messages=messages, stop=["."]).arguments,
    ]
