"""The rule of conversations over LlamaIndex's histories, and what other models see of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.generic_utils import messages_to_history_str, messages_to_prompt
from llama_index.core.base.llms.types import ThinkingBlock
from llama_index.core.llms import ChatMessage, ChatResponse, MockLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store import SimpleChatStore

from dify_api._calls.conversation import ConversationForkedError
from dify_api.errors import ConversationNotFoundError
from dify_local import LocalDify
from llama_index_dify import Dify, conversation_id, source_nodes

QUESTION = ChatMessage("Which planet has most moons?")
FOLLOW_UP = ChatMessage("And which of those is the largest?")


def sent(local: LocalDify) -> dict[str, Any]:
    """The newest chat message as the server got it."""
    return [r for r in local.requests if r.path.endswith("/chat-messages")][-1].json


def ask(llm: Dify, history: list[ChatMessage], **kwargs: Any) -> ChatResponse:
    response = llm.chat(history, **kwargs)
    history.append(response.message)
    return response


def test_a_lone_message_is_the_query_of_a_new_conversation(llm: Dify, local: LocalDify) -> None:
    ask(llm, [QUESTION])
    assert sent(local)["query"] == "Which planet has most moons?"
    assert "conversation_id" not in sent(local)


def test_the_history_names_the_conversation(llm: Dify, local: LocalDify) -> None:
    history = [QUESTION]
    first = ask(llm, history)
    history.append(FOLLOW_UP)
    second = ask(llm, history)
    assert sent(local)["query"] == "And which of those is the largest?"
    assert sent(local)["conversation_id"] == first.raw["conversation_id"]
    assert second.raw["conversation_id"] == first.raw["conversation_id"]
    assert "Titan" in (second.message.content or "")
    assert conversation_id(second.message) == first.raw["conversation_id"]


async def test_streams_continue_as_well(llm: Dify, local: LocalDify) -> None:
    *_, first = llm.stream_chat([QUESTION])
    history = [QUESTION, first.message, FOLLOW_UP]
    *_, second = [response async for response in await llm.astream_chat(history)]
    assert sent(local)["conversation_id"] == first.raw["conversation_id"]
    assert second.message.content is not None
    assert "Titan" in second.message.content


def test_a_conversation_given_for_the_call_wins(llm: Dify, local: LocalDify) -> None:
    named = ask(llm, [QUESTION]).raw["conversation_id"]
    history = [ChatMessage("/echo other")]
    ask(llm, history)
    history.append(FOLLOW_UP)
    llm.chat(history, conversation_id=named)
    assert sent(local)["conversation_id"] == named
    assert sent(local)["query"] == "And which of those is the largest?"


def test_answers_of_another_app_or_user_are_no_anchor(llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage("/echo secret of ann")]
    ask(llm, history)
    history.append(ChatMessage("/echo mine"))
    llm.chat(history, user="bob")
    assert "conversation_id" not in sent(local)
    assert "User: /echo secret of ann\nAssistant: secret of ann" in sent(local)["query"]
    other = Dify(api_key=local.keys["advanced-chat"], base_url=local.base_url, user="ann")
    other.chat(history)
    assert "conversation_id" not in sent(local)


def test_interleaved_users_keep_their_conversations(llm: Dify) -> None:
    histories: dict[str, list[ChatMessage]] = {"ann": [], "bob": []}
    seen: dict[str, set[str]] = {"ann": set(), "bob": set()}
    for word in ("one", "two"):
        for user, history in histories.items():
            history.append(ChatMessage(f"/echo {word}"))
            seen[user].add(ask(llm, history, user=user).raw["conversation_id"])
    assert len(seen["ann"]) == len(seen["bob"]) == 1
    assert seen["ann"] != seen["bob"]


def test_foreign_transcript_and_system_text_are_written_out(llm: Dify, local: LocalDify) -> None:
    llm.chat(
        [
            ChatMessage("Be brief.", role="system"),
            ChatMessage("Use metric units.", role="developer"),
            ChatMessage("Hello"),
            ChatMessage("Hi!", role="assistant"),
            ChatMessage("What is Mars?"),
        ]
    )
    assert sent(local)["query"] == (
        "Be brief.\n\nUse metric units.\n\n"
        "The conversation so far:\nUser: Hello\nAssistant: Hi!\n\nWhat is Mars?"
    )


def test_system_input(llm: Dify, local: LocalDify) -> None:
    llm.system_input = "instructions"
    history = [ChatMessage("Be brief.", role="system"), ChatMessage("/echo one")]
    ask(llm, history)
    history.append(ChatMessage("/echo two"))
    ask(llm, history)
    assert sent(local)["query"] == "/echo two"
    assert sent(local)["inputs"] == {"instructions": "Be brief."}  # on every turn


def test_memory_of_the_client(llm: Dify, local: LocalDify) -> None:
    llm.memory = "client"
    history = [QUESTION]
    ask(llm, history)
    history.append(FOLLOW_UP)
    ask(llm, history)
    assert "conversation_id" not in sent(local)
    assert sent(local)["query"].startswith("The conversation so far:\nUser: Which planet")


def test_tool_results_and_several_messages_go_out_together(llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage("/echo one")]
    ask(llm, history)
    history += [
        ChatMessage("22 degrees", role="tool", additional_kwargs={"name": "weather"}),
        ChatMessage("noon", role="function"),
        ChatMessage("So?"),
    ]
    ask(llm, history)
    assert sent(local)["query"] == (
        "Result of the tool weather: 22 degrees\n\nResult of the tool: noon\n\nSo?"
    )


def test_nothing_new_is_an_error(llm: Dify) -> None:
    history = [ChatMessage("/echo one")]
    ask(llm, history)
    with pytest.raises(ValueError, match="nothing new to send"):
        llm.chat(history)


def test_fork(llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage("/echo one")]
    named = ask(llm, history).raw["conversation_id"]
    llm.chat([ChatMessage("/echo elsewhere")], conversation_id=named)
    history.append(ChatMessage("/echo two"))
    llm.on_fork = "error"
    with pytest.raises(ConversationForkedError, match=named):
        llm.chat(history)
    llm.on_fork = "new"
    assert llm.chat(history).raw["conversation_id"] != named
    llm.on_fork = "ignore"
    assert llm.chat(history).raw["conversation_id"] == named


def test_deleted_conversation(llm: Dify) -> None:
    from dify_api import conversations

    history = [ChatMessage("/echo one")]
    gone = ask(llm, history).raw["conversation_id"]
    llm.client.send(conversations.delete(gone, user="ann"))
    history.append(ChatMessage("/echo two"))
    with pytest.raises(ConversationNotFoundError):
        llm.chat(history)
    llm.on_fork = "new"
    assert llm.chat(history).raw["conversation_id"] != gone


# Where histories are kept -----------------------------------------------------------------------


def through_json(messages: list[ChatMessage]) -> list[ChatMessage]:
    return [ChatMessage.model_validate_json(message.model_dump_json()) for message in messages]


def through_buffer(messages: list[ChatMessage]) -> list[ChatMessage]:
    memory = ChatMemoryBuffer.from_defaults(chat_history=messages, token_limit=3_000)
    return memory.get()


def through_chat_store(messages: list[ChatMessage]) -> list[ChatMessage]:
    store = SimpleChatStore()
    store.set_messages("ann", messages)
    # What `persist` writes; that itself fails with pydantic 2.14 (core's bug, not ours).
    kept = {key: [m.model_dump(mode="json") for m in ms] for key, ms in store.store.items()}
    loaded = SimpleChatStore.model_validate({"store": json.loads(json.dumps(kept))})
    return loaded.get_messages("ann")


@pytest.mark.parametrize("keep", [through_json, through_buffer, through_chat_store])
def test_stored_histories_continue(keep: Any, llm: Dify, local: LocalDify) -> None:
    history = [QUESTION]
    first = ask(llm, history)
    kept = keep(history)
    assert [n.node_id for n in source_nodes(kept[-1])] == [n.node_id for n in source_nodes(first)]
    ask(llm, [*kept, FOLLOW_UP])
    assert sent(local)["conversation_id"] == first.raw["conversation_id"]
    assert sent(local)["query"] == "And which of those is the largest?"


async def test_memory_in_a_database(llm: Dify, local: LocalDify, tmp_path: Path) -> None:
    def memory() -> Memory:
        return Memory.from_defaults(
            session_id="ann",
            token_limit=10_000,
            async_database_uri=f"sqlite+aiosqlite:///{tmp_path}/memory.db",
        )

    first = await llm.achat([QUESTION])
    await memory().aput_messages([QUESTION, first.message])
    another = memory()  # as in another process
    await another.aput(FOLLOW_UP)
    await llm.achat(await another.aget())
    assert sent(local)["conversation_id"] == first.raw["conversation_id"]
    assert sent(local)["query"] == "And which of those is the largest?"


async def test_workflow_context(llm: Dify, local: LocalDify) -> None:
    """`Context` -> dict -> JSON -> dict -> `Context`, between two turns of a workflow."""
    from llama_index.core.workflow import (
        Context,
        JsonSerializer,
        StartEvent,
        StopEvent,
        Workflow,
        step,
    )

    class Chat(Workflow):
        @step
        async def turn(self, context: Context, event: StartEvent) -> StopEvent:
            history = await context.store.get("history", default=[])
            history.append(ChatMessage(event.question))
            response = await llm.achat(history)
            await context.store.set("history", [*history, response.message])
            return StopEvent(result=response.message.content)

    chat = Chat()
    context = Context(chat)
    await chat.run(question=QUESTION.content, ctx=context)
    text = json.dumps(context.to_dict(serializer=JsonSerializer()))
    assert local.keys["chat"] not in text
    restored = Context.from_dict(chat, json.loads(text), serializer=JsonSerializer())
    answer = await chat.run(question=FOLLOW_UP.content, ctx=restored)
    assert "Titan" in answer
    assert sent(local)["query"] == FOLLOW_UP.content
    assert sent(local)["conversation_id"]


# What others see --------------------------------------------------------------------------------


def test_nothing_of_ours_reaches_prompts(llm: Dify) -> None:
    """Fact 5: what is in additional_kwargs is written into prompts and requests."""
    history = [QUESTION]
    response = ask(llm, history)
    seen = messages_to_prompt(history) + messages_to_history_str(history) + str(history[-1])
    seen += MockLLM().chat([*history, FOLLOW_UP]).message.content or ""
    for hidden in (
        response.raw["conversation_id"],
        response.raw["message_id"],
        llm.app,
        response.raw["retriever_resources"][0]["segment_id"],
    ):
        assert hidden not in seen
    assert history[-1].additional_kwargs == {}


def test_setting_the_content_keeps_the_record(llm: Dify) -> None:
    """As stock chat engines and agents do; core up to 0.14.23 refuses it for several blocks."""
    llm.content_blocks = True
    message = llm.chat([QUESTION]).message
    before = conversation_id(message), [block.block_type for block in message.blocks]
    message.content = "Saturn."
    assert message.content == "Saturn."
    assert (conversation_id(message), [block.block_type for block in message.blocks]) == before


def test_the_record_counts_no_tokens(llm: Dify) -> None:
    history = [QUESTION]
    ask(llm, history)
    block = next(b for b in history[-1].blocks if isinstance(b, ThinkingBlock))
    assert block.content is None
    if hasattr(block, "estimate_tokens"):  # core 0.14.15 and later
        assert block.estimate_tokens(tokenizer=list) == 0


def test_the_record_names_no_user_and_no_key(llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage("/echo hi")]
    ask(llm, history, user="ann@example.com")
    text = history[-1].model_dump_json()
    assert "ann@example.com" not in text
    assert local.keys["chat"] not in text


def test_openai_takes_the_message(llm: Dify) -> None:
    """Where its integration is installed: it refuses unknown blocks, and sends kwargs along."""
    openai = pytest.importorskip("llama_index.llms.openai.utils")
    history = [QUESTION]
    response = ask(llm, history)
    converted = str(openai.to_openai_message_dicts([*history, FOLLOW_UP]))
    assert response.raw["conversation_id"] not in converted
    assert (response.message.content or "") in converted
