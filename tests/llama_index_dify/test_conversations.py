"""What is told to a conversation, who may continue it, and side jobs that leave none."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.memory import (
    BaseMemoryBlock,
    ChatMemoryBuffer,
    FactExtractionMemoryBlock,
    InsertMethod,
    Memory,
    SimpleComposableMemory,
    StaticMemoryBlock,
    VectorMemoryBlock,
)
from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from dify_api import InputMessage, conversations
from dify_api._calls.conversation import ConversationForkedError
from dify_api.errors import CompletionRequestError, ConversationNotFoundError
from dify_local import LocalDify
from llama_index_dify import Dify, DifyChatEngine, DifyCompletion, conversation_id
from tests.llama_index_dify.test_chat_engine import every_way, say

INSERTS = [InsertMethod.SYSTEM, InsertMethod.USER]
every_insert = pytest.mark.parametrize("insert", INSERTS)


def sent(local: LocalDify) -> list[tuple[str | None, str]]:
    """Conversation and query of each message so far."""
    return [
        (request.json.get("conversation_id"), request.json["query"])
        for request in local.requests
        if request.path.endswith("/chat-messages")
    ]


def living(llm: Dify) -> set[str]:
    """The user's conversations on the server."""
    listed = conversations.list_conversations(user=llm.user)
    return {conversation.id for conversation in llm.client.iterate(listed)}


class Facts(BaseMemoryBlock[str]):
    """Says what the test has put into it."""

    facts: str = ""

    async def _aget(self, messages: list[ChatMessage] | None = None, **_: Any) -> str:
        return self.facts.replace("{question}", str(messages[-1].content) if messages else "")

    async def _aput(self, messages: list[ChatMessage]) -> None:
        pass


def memory_of(*blocks: BaseMemoryBlock[Any], insert: InsertMethod, **options: Any) -> Memory:
    options.setdefault("token_limit", 10_000)
    return Memory.from_defaults(memory_blocks=list(blocks), insert_method=insert, **options)


# Memory text ----------------------------------------------------------------------------------


@every_insert
@every_way
async def test_a_static_block_reaches_the_app_once(
    way: str, insert: InsertMethod, llm: Dify, local: LocalDify
) -> None:
    block = StaticMemoryBlock(static_content=[TextBlock(text="Ann likes rings.")])
    memory = memory_of(block, insert=insert)
    engine = DifyChatEngine(llm, memory=memory)
    for word in ("one", "two", "three"):
        assert (await say(engine, way, f"/echo {word}")).response
    queries = [query for _, query in sent(local)]
    assert ["Ann likes rings." in query for query in queries] == [True, False, False]
    assert queries[0].endswith("\n\n/echo one")
    assert queries[1:] == ["/echo two", "/echo three"]
    assert len({conversation for conversation, _ in sent(local)[1:]}) == 1
    kept = await memory.aget_all()
    assert [m.content for m in kept][::2] == ["/echo one", "/echo two", "/echo three"]


@every_insert
async def test_facts_that_change_go_along(
    insert: InsertMethod, llm: Dify, local: LocalDify
) -> None:
    block = Facts(name="facts", facts="Likes rings.")
    engine = DifyChatEngine(llm, memory=memory_of(block, insert=insert))
    await engine.achat("/echo one")
    await engine.achat("/echo two")
    block.facts = "Likes moons."
    await engine.achat("/echo three")
    engine.chat("/echo four")
    queries = [query for _, query in sent(local)]
    assert "Likes rings." in queries[0]
    assert queries[1] == "/echo two"
    assert "Likes moons." in queries[2]
    assert "rings" not in queries[2]
    assert queries[2].endswith("\n\n/echo three")
    assert "echo one" not in queries[2]
    assert queries[3] == "/echo four"


@every_insert
async def test_blocks_are_asked_with_the_question(
    insert: InsertMethod, llm: Dify, local: LocalDify
) -> None:
    block = Facts(name="facts", facts="About {question}.")
    engine = DifyChatEngine(llm, memory=memory_of(block, insert=insert))
    await engine.achat("/echo one")
    engine.chat("/echo two")
    assert ["About /echo one." in query for _, query in sent(local)] == [True, False]
    assert "About /echo two." in sent(local)[1][1]


@every_insert
async def test_facts_that_are_extracted(insert: InsertMethod, llm: Dify, local: LocalDify) -> None:
    """The extraction is a side job: it writes into no conversation, and leaves none."""
    side = llm.detached(delete_conversation=True)
    block = FactExtractionMemoryBlock(
        llm=side, fact_extraction_prompt_template="/echo <fact>Ann likes rings</fact>"
    )
    memory = memory_of(
        block, insert=insert, token_limit=60, token_flush_size=10, chat_history_token_ratio=0.5
    )
    engine = DifyChatEngine(llm, memory=memory)
    before = living(llm)
    for number in range(6):
        await engine.achat(f"/echo a sentence of some length, number {number}")
    assert block.facts == ["Ann likes rings"]
    mine = {conversation for conversation, query in sent(local) if "number 5" in query}
    assert len(mine) == 1
    told = [query for conversation, query in sent(local) if conversation in mine]
    assert any("Ann likes rings" in query for query in told)
    assert not any("/echo <fact>" in query for query in told)
    assert living(llm) - before == mine


class Passages(BasePydanticVectorStore):
    """A vector store that finds its newest passage, whatever is asked."""

    stores_text: bool = True
    kept: list[BaseNode] = []

    @property
    def client(self) -> None:
        return None

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        self.kept.extend(nodes)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        raise NotImplementedError

    def query(self, query: VectorStoreQuery, **_: Any) -> VectorStoreQueryResult:
        found = self.kept[-1:]
        return VectorStoreQueryResult(nodes=found, similarities=[1.0] * len(found))


@every_insert
async def test_a_vector_block(insert: InsertMethod, llm: Dify, local: LocalDify) -> None:
    store = Passages(kept=[TextNode(text="Ann likes rings.")])
    block = VectorMemoryBlock(vector_store=store, embed_model=MockEmbedding(embed_dim=4))
    engine = DifyChatEngine(llm, memory=memory_of(block, insert=insert))
    await engine.achat("/echo one")
    engine.chat("/echo two")
    store.add([TextNode(text="Ann likes moons.")])
    await engine.achat("/echo three")
    queries = [query for _, query in sent(local)]
    assert "Ann likes rings." in queries[0]
    assert queries[1] == "/echo two"
    assert "Ann likes moons." in queries[2]


def test_memories_composed_of_others(llm: Dify, local: LocalDify) -> None:
    other = ChatMemoryBuffer.from_defaults(
        chat_history=[ChatMessage("I like rings.")], token_limit=1000
    )
    memory = SimpleComposableMemory(
        primary_memory=ChatMemoryBuffer.from_defaults(token_limit=1000),
        secondary_memory_sources=[other],
    )
    engine = DifyChatEngine(llm, memory=memory)
    engine.chat("/echo one")
    engine.chat("/echo two")
    queries = [query for _, query in sent(local)]
    assert "I like rings." in queries[0]
    assert queries[1] == "/echo two"


@every_insert
def test_with_memory_of_the_client_all_goes_along(
    insert: InsertMethod, llm: Dify, local: LocalDify
) -> None:
    llm.memory = "client"
    block = Facts(name="facts", facts="About {question}.")
    engine = DifyChatEngine(llm, memory=memory_of(block, insert=insert))
    engine.chat("/echo one")
    engine.chat("/echo two")
    assert "About /echo one." in sent(local)[0][1]
    assert "About /echo two." in sent(local)[1][1]
    assert "Assistant: one" in sent(local)[1][1]


def test_a_stock_chat_engine_with_memory_blocks(llm: Dify, local: LocalDify) -> None:
    block = Facts(name="facts", facts="Likes rings.")
    engine = SimpleChatEngine.from_defaults(
        llm=llm, memory=memory_of(block, insert=InsertMethod.SYSTEM), system_prompt="Be kind."
    )
    for word in ("one", "two"):
        engine.chat(f"/echo {word}")
    block.facts = "Likes moons."
    engine.chat("/echo three")
    queries = [query for _, query in sent(local)]
    assert "Likes rings." in queries[0]
    assert queries[1] == "/echo two"
    assert "Likes moons." in queries[2]


# System text ----------------------------------------------------------------------------------


def test_prefix_messages_that_change(llm: Dify, local: LocalDify) -> None:
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    for prompt in ("Be brief.", "Be brief.", "Be kind."):
        engine = DifyChatEngine.from_defaults(llm, memory=memory, system_prompt=prompt)
        engine.chat("/echo hi")
    assert [query for _, query in sent(local)] == [
        "Be brief.\n\n/echo hi",
        "/echo hi",
        "Be kind.\n\n/echo hi",
    ]


def test_prefix_messages_in_an_input(llm: Dify, local: LocalDify) -> None:
    llm.system_input = "instructions"
    memory = memory_of(Facts(name="facts", facts="Rings."), insert=InsertMethod.SYSTEM)
    engine = DifyChatEngine.from_defaults(llm, memory=memory, system_prompt="Be brief.")
    for _ in range(2):
        engine.chat("/echo hi")
        assert sent(local)[-1][1] == "/echo hi"
        told = local.requests[-1].json["inputs"]["instructions"]
        assert told.startswith("Be brief.\n\n")
        assert "Rings." in told


def test_a_conversation_that_was_named_is_told_once(llm: Dify, local: LocalDify) -> None:
    named = llm.chat([ChatMessage("/echo hi")]).raw["conversation_id"]
    engine = DifyChatEngine.from_defaults(llm, conversation_id=named, system_prompt="Be brief.")
    engine.chat("/echo one")
    engine.chat("/echo two")
    assert sent(local)[1:] == [(named, "Be brief.\n\n/echo one"), (named, "/echo two")]


# Names of apps --------------------------------------------------------------------------------


def test_conversations_survive_a_new_key(llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage("/echo one")]
    history += [llm.chat(history).message, ChatMessage("/echo two")]
    named = Dify(
        api_key=local.keys["chat"], base_url=local.base_url, user="ann", app_id="support-bot"
    )
    history += [named.chat(history).message, ChatMessage("/echo three")]
    moved = Dify(
        api_key=local.keys["chat"],
        base_url=local.base_url.replace("127.0.0.1", "localhost"),
        user="ann",
        app_id="support-bot",
    )
    answer = moved.chat(history).message
    assert moved.fingerprint != named.fingerprint
    assert {conversation_id(m) for m in (*history[1::2], answer)} == {conversation_id(history[1])}
    assert named.to_payload()["app"] == "support-bot"


# Side jobs ------------------------------------------------------------------------------------


@every_way
async def test_a_detached_model_in_an_engine(way: str, llm: Dify, local: LocalDify) -> None:
    engine = DifyChatEngine(llm.detached())
    await say(engine, way, "/echo one")
    await say(engine, way, "/echo two")
    assert sent(local)[-1] == (
        None,
        "The conversation so far:\nUser: /echo one\nAssistant: one\n\n/echo two",
    )
    assert [conversation_id(m) for m in engine.chat_history] == [None] * 4


async def test_a_detached_model_leaves_no_conversation(llm: Dify) -> None:
    before = living(llm)
    side = llm.detached(delete_conversation=True)
    history = [ChatMessage("/echo hi")]
    history += [llm.chat(history).message, ChatMessage("/echo aside")]
    kept = {conversation_id(history[1])}
    side.chat(history)
    await side.achat(history)
    list(side.stream_chat(history))
    [_ async for _ in await side.astream_chat(history)]
    side.complete("/echo hi")
    await side.acomplete("/echo hi")
    list(side.stream_complete("/echo hi"))
    [_ async for _ in await side.astream_complete("/echo hi")]
    with pytest.raises(CompletionRequestError):
        side.chat([ChatMessage("/fail mid")])
    with pytest.raises(CompletionRequestError):
        await side.achat([ChatMessage("/fail mid")])
    assert living(llm) - before == kept


async def test_a_stream_that_is_left(llm: Dify, local: LocalDify) -> None:
    before = living(llm)
    side = llm.detached(delete_conversation=True)
    stream = side.stream_chat([ChatMessage("/slow 60 3")])
    next(stream)
    stream.close()
    astream = await side.astream_chat([ChatMessage("/slow 60 3")])
    await anext(astream)
    await astream.aclose()
    del stream, astream
    await asyncio.to_thread(local.wait_for_requests, 2, path="/conversations/")
    assert living(llm) == before


async def test_a_react_agent(local: LocalDify) -> None:
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    planner = Dify(api_key=local.keys["planner"], base_url=local.base_url, user="ann")
    before = living(planner)
    side = planner.detached(delete_conversation=True)
    agent = ReActAgent(tools=[FunctionTool.from_defaults(multiply)], llm=side)
    memory = ChatMemoryBuffer.from_defaults(token_limit=30_000)
    for question, answer in (("What is 6 times 7?", "42"), ("What is 2 times 4?", "8")):
        assert answer in str(await agent.run(question, memory=memory))
    assert living(planner) == before
    assert [conversation_id(m) for m in memory.get_all()] == [None] * 4


def test_a_detached_model_survives_copies(llm: Dify, local: LocalDify, monkeypatch: Any) -> None:
    monkeypatch.setenv("DIFY_API_KEY", local.keys["chat"])
    side = llm.detached(delete_conversation=True)
    for copied in (pickle.loads(pickle.dumps(side)), copy.deepcopy(side)):
        assert (copied.memory, copied.delete_conversation) == ("none", True)
    assert (llm.memory, llm.delete_conversation) == ("server", False)


# Conversations that are gone ------------------------------------------------------------------


@every_way
async def test_an_engine_begins_anew(way: str, llm: Dify, local: LocalDify) -> None:
    engine = DifyChatEngine(llm)
    await say(engine, way, "/echo one")
    gone = conversation_id(engine.chat_history[1])
    llm.client.send(conversations.delete(gone or "", user="ann"))
    with pytest.raises(ConversationNotFoundError, match='on_fork="new"'):
        await say(engine, way, "/echo two")
    llm.on_fork = "new"
    assert (await say(engine, way, "/echo two")).response == "two"
    assert sent(local)[-1] == (
        None,
        "The conversation so far:\nUser: /echo one\nAssistant: one\n\n/echo two",
    )
    await say(engine, way, "/echo three")
    assert sent(local)[-1] == (conversation_id(engine.chat_history[3]), "/echo three")


@every_way
async def test_an_engine_whose_conversation_was_named(
    way: str, llm: Dify, local: LocalDify
) -> None:
    llm.on_fork = "new"
    gone = llm.chat([ChatMessage("/echo zero")]).raw["conversation_id"]
    engine = DifyChatEngine(llm, conversation_id=gone)
    await say(engine, way, "/echo one")
    llm.client.send(conversations.delete(gone, user="ann"))
    await say(engine, way, "/echo two")
    assert sent(local)[-1][0] is None
    await say(engine, way, "/echo three")
    now = sent(local)[-1][0]
    assert now not in (None, gone)
    assert sent(local)[-1][1] == "/echo three"
    # Read from the server, without what was written around the words of the user.
    shown = [message.content for message in engine.chat_history]
    assert shown == ["/echo two", "two", "/echo three", "three"]


def test_arguments_of_a_call(llm: Dify, local: LocalDify) -> None:
    engine = DifyChatEngine(llm)
    engine.chat("/echo one")
    engine.chat("/echo two", memory="client")
    assert sent(local)[-1][0] is None
    assert "Assistant: one" in sent(local)[-1][1]
    thought = llm.chat([ChatMessage("/think I wonder")], reasoning=True)
    assert thought.message.content == "I have thought about it."
    assert llm.complete("/think I wonder", reasoning=True).text == "I have thought about it."
    history = [ChatMessage("/echo one")]
    history.append(llm.chat(history).message)
    llm.chat([ChatMessage("/echo x")], conversation_id=conversation_id(history[1]))
    with pytest.raises(ConversationForkedError):
        llm.chat([*history, ChatMessage("/echo two")], on_fork="error")
    with pytest.raises(ValueError, match="on_fork must be one of ignore, new, error"):
        llm.chat(history, on_fork="nwe")


def test_refusals_say_where_an_argument_goes(llm: Dify, completion_llm: DifyCompletion) -> None:
    with pytest.raises(TypeError, match=r"give it to the constructor, Dify\(system_input=...\)"):
        llm.complete("hi", system_input="x")
    with pytest.raises(TypeError, match="a completion app keeps no conversation"):
        completion_llm.complete("hi", memory="client")


# Written-out history --------------------------------------------------------------------------


def german(messages: Sequence[InputMessage]) -> str:
    names = {"user": "Nutzer", "assistant": "Antwort", "tool": "Werkzeug"}
    return "Bisher:\n" + "\n".join(f"{names[m.role]}: {m.text}" for m in messages)


def test_a_transcript_of_ones_own(llm: Dify, local: LocalDify, monkeypatch: Any) -> None:
    llm = Dify(**{**_arguments(local), "transcript": german, "memory": "client"})
    history = [
        ChatMessage("Hallo"),
        ChatMessage("Tag!", role=MessageRole.ASSISTANT),
        ChatMessage("/echo zwei"),
    ]
    llm.chat(history)
    assert sent(local)[-1][1] == "Bisher:\nNutzer: Hallo\nAntwort: Tag!\n\n/echo zwei"
    assert "german" not in llm.to_json()
    monkeypatch.setenv("DIFY_API_KEY", local.keys["chat"])
    pickle.loads(pickle.dumps(llm)).chat(history)
    assert sent(local)[-1][1].startswith("Bisher:")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(Dify(**_arguments(local), transcript=lambda _: ""))


def _arguments(local: LocalDify) -> dict[str, Any]:
    return {"api_key": local.keys["chat"], "base_url": local.base_url, "user": "ann"}
