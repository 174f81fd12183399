"""One conversation rule, under every store of messages."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver

from dify_api import chat as chat_operations
from dify_api import conversations
from dify_api._calls.conversation import ConversationForkedError
from dify_api.errors import ConversationNotFoundError
from dify_local import LocalDify
from langchain_dify import ChatDify
from tests.support.forking import run_forked

Models = Callable[..., ChatDify]


def sent(server: LocalDify) -> list[tuple[str | None, str]]:
    """Conversation and query of each message so far."""
    return [
        (request.json.get("conversation_id"), request.json["query"])
        for request in server.requests
        if request.path.endswith("/chat-messages")
    ]


def place(message: AIMessage) -> str:
    return message.response_metadata["conversation_id"]


# Plain lists ----------------------------------------------------------------------------------


async def test_a_history_that_ends_with_an_answer_continues_it(
    chat: Models, server: LocalDify
) -> None:
    model = chat()
    question = HumanMessage("Which planet has the most moons?")
    answer = model.invoke([question])
    streamed = reduce(add, list(model.stream([question, answer, HumanMessage("/echo two")])))
    history = [question, answer, HumanMessage("/echo two"), streamed, HumanMessage("/echo three")]
    third = await model.ainvoke(history)
    assert sent(server) == [
        (None, question.content),
        (place(answer), "/echo two"),
        (place(answer), "/echo three"),
    ]
    assert place(third) == place(answer)


def test_a_follow_up_is_understood(chat: Models) -> None:
    model = chat()
    question = HumanMessage("Which planet has the most moons?")
    answer = model.invoke([question])
    follow_up = model.invoke([question, answer, HumanMessage("And which of those is largest?")])
    assert "Titan" in follow_up.content or "Saturn" in follow_up.content


def test_a_conversation_id_given_for_the_call_wins(chat: Models, server: LocalDify) -> None:
    model = chat()
    first, second = model.invoke("/echo first"), model.invoke("/echo second")
    history = [HumanMessage("/echo second"), second, HumanMessage("/echo go on")]
    model.invoke(history, conversation_id=place(first))
    assert sent(server)[-1] == (place(first), "/echo go on")


def test_a_lone_message_is_the_query_verbatim(chat: Models, server: LocalDify) -> None:
    chat().invoke("/echo  as  it\nis ")
    assert sent(server) == [(None, "/echo  as  it\nis ")]


def test_several_messages_after_the_answer_go_out_together(chat: Models, server: LocalDify) -> None:
    model = chat("planner")
    answer = model.invoke("/echo hi")
    called = answer.model_copy(
        update={"tool_calls": [{"name": "add", "args": {}, "id": "1", "type": "tool_call"}]}
    )
    tail = [
        ToolMessage("5", tool_call_id="1", name="add"),
        ToolMessage([{"type": "text", "text": "6"}], tool_call_id="2", name="multiply"),
        HumanMessage("So what is it?"),
    ]
    model.invoke([HumanMessage("/echo hi"), called, *tail])
    assert sent(server)[-1] == (
        place(answer),
        "Result of the tool add: 5\n\nResult of the tool multiply: 6\n\nSo what is it?",
    )


def test_nothing_after_the_answer_is_an_error(chat: Models, server: LocalDify) -> None:
    model = chat()
    answer = model.invoke("/echo hi")
    with pytest.raises(ValueError, match="nothing new to send"):
        model.invoke([HumanMessage("/echo hi"), answer])
    assert len(sent(server)) == 1


def test_system_texts_stand_before_the_query_or_go_into_an_input(
    chat: Models, server: LocalDify
) -> None:
    messages = [
        SystemMessage("Be brief."),
        SystemMessage("Be kind."),
        HumanMessage("/echo a"),
    ]
    chat().invoke(messages)
    assert sent(server)[-1] == (None, "Be brief.\n\nBe kind.\n\n/echo a")
    model = chat(system_input="instructions")
    answer = model.invoke(messages)
    assert server.requests[-1].json["inputs"] == {"instructions": "Be brief.\n\nBe kind."}
    assert sent(server)[-1] == (None, "/echo a")
    model.invoke([*messages, answer, HumanMessage("/echo b")])
    assert server.requests[-1].json["inputs"] == {"instructions": "Be brief.\n\nBe kind."}


def test_foreign_transcripts_are_written_out(chat: Models, server: LocalDify) -> None:
    chat().invoke(
        [
            ChatMessage("Be brief.", role="developer"),
            HumanMessage("What is 2 + 3?"),
            AIMessage(
                "",
                tool_calls=[{"name": "add", "args": {"a": 2}, "id": "1", "type": "tool_call"}],
                response_metadata={"conversation_id": "of-someone-else", "model_name": "x"},
            ),
            ToolMessage("5", tool_call_id="1", name="add"),
            AIMessage("It is 5."),
            ChatMessage("/echo thanks", role="customer"),
        ]
    )
    assert sent(server) == [
        (
            None,
            "Be brief.\n\nThe conversation so far:\nUser: What is 2 + 3?\n"
            'Assistant: {"tool_calls": [{"name": "add", "arguments": {"a": 2}}]}\n'
            "Result of the tool add: 5\n"
            "Assistant: It is 5.\n\n/echo thanks",
        )
    ]


def test_memory_of_the_client_resends_everything(chat: Models, server: LocalDify) -> None:
    model = chat(memory="client")
    answer = model.invoke("/echo hi")
    model.invoke([HumanMessage("Hello"), answer, HumanMessage("/echo two")])
    assert sent(server)[-1] == (
        None,
        "The conversation so far:\nUser: Hello\nAssistant: hi\n\n/echo two",
    )


# Users and apps -------------------------------------------------------------------------------


def test_no_conversation_crosses_to_another_user_or_app(chat: Models, server: LocalDify) -> None:
    ann, bob, agent = chat(), chat(user="bob"), chat("agent")
    first = ann.invoke("/echo hi")
    history = [HumanMessage("/echo hi"), first, HumanMessage("/echo two")]
    for model in (bob, agent):
        model.invoke(history)
        assert sent(server)[-1][0] is None
    ann.invoke(history, user="carol")
    assert sent(server)[-1][0] is None
    ann.invoke(history)
    assert sent(server)[-1][0] == place(first)


def test_two_users_interleaved_on_one_model(chat: Models, server: LocalDify) -> None:
    model = chat()
    histories: dict[str, list[Any]] = {"ann": [], "bob": []}
    for turn in range(3):
        for user, history in histories.items():
            history.append(HumanMessage(f"/echo {user} {turn}"))
            history.append(model.invoke(history, user=user))
    for user, history in histories.items():
        answers = [m for m in history if isinstance(m, AIMessage)]
        assert [m.content for m in answers] == [f"{user} {turn}" for turn in range(3)]
        assert len({place(m) for m in answers}) == 1
        mine = [r.json for r in server.requests if r.json["user"] == user]
        assert [r.get("conversation_id") for r in mine] == [None, *[place(answers[0])] * 2]
    assert place(histories["ann"][1]) != place(histories["bob"][1])


# Conversations that are gone, or went on ------------------------------------------------------


def deleted(model: ChatDify) -> list[Any]:
    answer = model.invoke("/echo hi")
    model.client.send(conversations.delete(place(answer), user="ann"))
    return [HumanMessage("/echo hi"), answer, HumanMessage("/echo two")]


def test_a_deleted_conversation_is_a_clear_error(chat: Models) -> None:
    model = chat()
    with pytest.raises(ConversationNotFoundError, match="start a new conversation"):
        model.invoke(deleted(model))


def test_a_deleted_conversation_starts_anew_where_asked(chat: Models, server: LocalDify) -> None:
    model = chat(on_fork="new")
    assert model.invoke(deleted(model)).content == "two"
    assert sent(server)[-1] == (
        None,
        "The conversation so far:\nUser: /echo hi\nAssistant: hi\n\n/echo two",
    )


def forked(model: ChatDify) -> list[Any]:
    answer = model.invoke("/echo hi")
    model.client.send(
        chat_operations.send_message("/echo elsewhere", user="ann", conversation_id=place(answer))
    )
    return [HumanMessage("/echo hi"), answer, HumanMessage("/echo two")]


def test_forks(chat: Models, server: LocalDify) -> None:
    ignoring = chat()
    history = forked(ignoring)
    assert place(ignoring.invoke(history)) == place(history[1])
    with pytest.raises(ConversationForkedError, match="went on at the server"):
        chat(on_fork="error").invoke(history)
    chat(on_fork="new").invoke(history)
    assert sent(server)[-1][0] is None


def test_no_fork_no_change(chat: Models, server: LocalDify) -> None:
    model = chat(on_fork="error")
    answer = model.invoke("/echo hi")
    model.invoke([HumanMessage("/echo hi"), answer, HumanMessage("/echo two")])
    assert sent(server)[-1] == (place(answer), "/echo two")


# Stores ---------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deprecated, and much used
def test_runnable_with_message_history(chat: Models, server: LocalDify) -> None:
    store: dict[str, InMemoryChatMessageHistory] = {}
    chain = RunnableWithMessageHistory(
        chat(), lambda session_id: store.setdefault(session_id, InMemoryChatMessageHistory())
    )
    config = {"configurable": {"session_id": "1"}}
    first = chain.invoke([HumanMessage("/echo one")], config)
    second = chain.invoke([HumanMessage("/echo two")], config)
    assert place(first) == place(second)
    assert sent(server) == [(None, "/echo one"), (place(first), "/echo two")]


def test_prompt_templates_continue_too(chat: Models, server: LocalDify) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be brief."), ("placeholder", "{history}"), ("human", "{question}")]
    )
    chain = prompt | chat()
    first = chain.invoke({"question": "/echo one"})
    history = [("human", "/echo one"), first]
    chain.invoke({"history": history, "question": "/echo two"})
    assert sent(server)[-1] == (place(first), "/echo two")


def test_agent_with_a_checkpointer(chat: Models, server: LocalDify) -> None:
    agent = create_agent(chat(), [], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    agent.invoke({"messages": [("user", "/echo one")]}, config)
    chunks = list(
        agent.stream({"messages": [("user", "/echo two")]}, config, stream_mode="messages")
    )
    state = agent.get_state(config).values["messages"]
    assert [m.content for m in state] == ["/echo one", "one", "/echo two", "two"]
    assert [type(m) for m in state[1::2]] == [AIMessage, AIMessage]
    assert sent(server) == [(None, "/echo one"), (place(state[1]), "/echo two")]
    assert len(chunks) > 1
    agent.invoke({"messages": [("user", "/echo other")]}, {"configurable": {"thread_id": "2"}})
    assert sent(server)[-1][0] is None


ONE_TURN = """
    import sys
    from langchain.agents import create_agent
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langchain_dify import ChatDify
    path, question = sys.argv[1:]
    with SqliteSaver.from_conn_string(path) as saver:
        agent = create_agent(ChatDify(), [], checkpointer=saver)
        state = agent.invoke(
            {"messages": [("user", question)]}, {"configurable": {"thread_id": "1"}}
        )
        print(state["messages"][-1].response_metadata["conversation_id"])
"""


@pytest.mark.slow
def test_a_checkpoint_on_disk_continues_in_another_process(
    tmp_path: Path, server: LocalDify
) -> None:
    places = []
    for question in ("/echo one", "/echo two"):
        done = run_forked(
            "langchain",
            textwrap.dedent(ONE_TURN),
            str(tmp_path / "c.sqlite"),
            question,
            variables={"DIFY_BASE_URL": server.base_url, "DIFY_API_KEY": server.keys["chat"]},
        )
        assert done.returncode == 0, done.stderr
        places.append(done.stdout.strip())
    assert places[0] == places[1]
    assert sent(server) == [(None, "/echo one"), (places[0], "/echo two")]


def test_nothing_secret_is_stored_with_a_message(chat: Models, server: LocalDify) -> None:
    stored = dumps(chat(user="ann@example.com").invoke("/echo hi"))
    assert server.keys["chat"] not in stored
    assert "ann@example.com" not in stored
