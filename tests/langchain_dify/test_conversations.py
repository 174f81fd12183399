"""What is told to a conversation, who may continue it, and side jobs that leave none."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import dynamic_prompt
from langchain_core.caches import InMemoryCache
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from dify_api import InputMessage, conversations
from dify_api._calls.conversation import ConversationForkedError
from dify_api.errors import (
    CompletionRequestError,
    ConversationNotFoundError,
    WorkflowPausedError,
)
from dify_local import LocalDify
from langchain_dify import ChatDify, DifyChatMessageHistory, DifyLLM
from tests.langchain_dify.test_memory import deleted, place, sent

Models = Callable[..., ChatDify]

RAG = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer only from:\n{context}"),
        MessagesPlaceholder("history", optional=True),
        ("human", "{question}"),
    ]
)


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def queries(server: LocalDify) -> list[str]:
    return [query for _, query in sent(server)]


def living(server: LocalDify, app: str = "chat", user: str = "ann") -> list[str]:
    """The user's conversations on the server."""
    client = ChatDify(api_key=server.keys[app], base_url=server.base_url).client
    return [c.id for c in client.iterate(conversations.list_conversations(user=user))]


# System text that changes ---------------------------------------------------------------------


def test_context_of_a_prompt_template(chat: Models, server: LocalDify) -> None:
    chain = RAG | chat()
    history: list[Any] = []
    for context in ("Saturn", "Saturn", "Jupiter"):
        answer = chain.invoke({"context": context, "history": history, "question": "/echo hi"})
        history += [HumanMessage("/echo hi"), answer]
    assert queries(server) == [
        "Answer only from:\nSaturn\n\n/echo hi",
        "/echo hi",
        "Answer only from:\nJupiter\n\n/echo hi",
    ]
    assert len({place(m) for m in history[1::2]}) == 1


async def test_context_that_changes_in_streams(chat: Models, server: LocalDify) -> None:
    chain = RAG | chat()
    first = reduce(add, chain.stream({"context": "Saturn", "question": "/echo hi"}))
    history = [HumanMessage("/echo hi"), first]
    again = {"context": "Saturn", "history": history, "question": "/echo hi"}
    second = [c async for c in chain.astream(again)]
    history += [HumanMessage("/echo hi"), reduce(add, second)]
    await chain.ainvoke({"context": "Jupiter", "history": history, "question": "/echo hi"})
    assert queries(server)[1:] == ["/echo hi", "Answer only from:\nJupiter\n\n/echo hi"]


def test_a_dynamic_prompt_of_an_agent(chat: Models, server: LocalDify) -> None:
    contexts = iter(["Saturn", "Saturn", "Jupiter"])

    @dynamic_prompt
    def context(_: Any) -> str:
        return f"Answer only from: {next(contexts)}"

    agent = create_agent(chat(), [], middleware=[context], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        agent.invoke({"messages": [("user", "/echo hi")]}, config)
    assert queries(server) == [
        "Answer only from: Saturn\n\n/echo hi",
        "/echo hi",
        "Answer only from: Jupiter\n\n/echo hi",
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deprecated, and much used
def test_runnable_with_message_history(chat: Models, server: LocalDify) -> None:
    store = InMemoryChatMessageHistory()
    chain = RunnableWithMessageHistory(
        RAG | chat(),
        lambda session_id: store,
        input_messages_key="question",
        history_messages_key="history",
    )
    for context in ("Saturn", "Jupiter", "Jupiter"):
        given = {"context": context, "question": "/echo hi"}
        chain.invoke(given, {"configurable": {"session_id": "1"}})
    assert queries(server) == [
        "Answer only from:\nSaturn\n\n/echo hi",
        "Answer only from:\nJupiter\n\n/echo hi",
        "/echo hi",
    ]


def test_a_graph_of_ones_own(chat: Models, server: LocalDify) -> None:
    model = chat()

    def answer(state: MessagesState) -> dict[str, Any]:
        count = len([m for m in state["messages"] if m.type == "human"])
        facts = SystemMessage(f"Facts: {min(count, 2)}")
        return {"messages": [model.invoke([facts, *state["messages"]])]}

    graph: Any = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    app = graph.compile(checkpointer=InMemorySaver())
    for _ in range(3):
        app.invoke({"messages": [("user", "/echo hi")]}, {"configurable": {"thread_id": "1"}})
    assert queries(server) == ["Facts: 1\n\n/echo hi", "Facts: 2\n\n/echo hi", "/echo hi"]


def test_system_text_that_changes_in_an_input(chat: Models, server: LocalDify) -> None:
    chain = RAG | chat(system_input="instructions")
    first = chain.invoke({"context": "Saturn", "question": "/echo hi"})
    history = [HumanMessage("/echo hi"), first]
    chain.invoke({"context": "Jupiter", "history": history, "question": "/echo hi"})
    assert queries(server) == ["/echo hi", "/echo hi"]
    assert server.requests[-1].json["inputs"] == {"instructions": "Answer only from:\nJupiter"}


# Tools are offered once -----------------------------------------------------------------------


def test_tools_are_offered_once_in_a_conversation(chat: Models, server: LocalDify) -> None:
    agent = create_agent(
        chat("planner"), [multiply, weather], system_prompt="Be kind.", checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    agent.invoke({"messages": [("user", "Multiply 6 and 7")]}, config)
    state = agent.invoke({"messages": [("user", "How is the weather in Rome?")]}, config)
    assert "sunny in" in state["messages"][-1].content
    assert ["You can call these tools" in query for query in queries(server)] == [
        True,
        False,
        False,
        False,
    ]
    assert queries(server)[1:3] == [
        "Result of the tool multiply: 42",
        "How is the weather in Rome?",
    ]


def test_other_tools_are_offered_anew(chat: Models, server: LocalDify) -> None:
    model = chat()
    history: list[Any] = []
    for tools in ([multiply], [multiply], [multiply, weather]):
        history.append(HumanMessage("/echo hi"))
        history.append(model.bind_tools(tools, tool_choice="any").invoke(history))
    first, second, third = queries(server)
    assert "You can call these tools" in first
    assert second == "You must call at least one tool now.\n\n/echo hi"
    assert "You can call these tools" in third
    assert "weather" in third


def test_a_demand_for_json_is_made_each_time(chat: Models, server: LocalDify) -> None:
    class Planet(BaseModel):
        name: str

    model = chat().with_structured_output(Planet, include_raw=True)
    first = model.invoke('/json {"name": "Mars"}')["raw"]
    model.invoke([HumanMessage("x"), first, HumanMessage('/json {"name": "Mars"}')])
    assert all(query.startswith("Answer with JSON alone") for query in queries(server))


# Names of apps --------------------------------------------------------------------------------


def test_conversations_survive_a_new_key(chat: Models, server: LocalDify) -> None:
    before = chat()
    history: list[Any] = [HumanMessage("/echo one"), before.invoke("/echo one")]
    named = chat(app_id="support-bot")  # set before the key changes
    history += [HumanMessage("/echo two")]
    history += [named.invoke(history), HumanMessage("/echo three")]
    assert place(history[3]) == place(history[1])
    assert history[3].response_metadata["app"] == "support-bot"
    # The same app under another address, so another fingerprint.
    moved = chat(app_id="support-bot", base_url=server.base_url.replace("127.0.0.1", "localhost"))
    assert moved.fingerprint != named.fingerprint
    assert place(moved.invoke(history)) == place(history[1])
    assert sent(server)[-1] == (place(history[1]), "/echo three")
    other = chat(app_id="sales-bot", base_url=moved.base_url)
    assert place(other.invoke(history)) != place(history[1])


def test_a_name_survives_pickles_and_copies(chat: Models, monkeypatch: Any) -> None:
    named = chat(app_id="support-bot")
    monkeypatch.setenv("DIFY_API_KEY", "app-another")
    for copied in (pickle.loads(pickle.dumps(named)), copy.deepcopy(named)):
        assert copied.app == "support-bot"
    assert named._identifying_params["app"] == "support-bot"
    with pytest.raises(ValueError, match="at least 1 character"):
        chat(app_id="")


# Caches ---------------------------------------------------------------------------------------


async def test_a_cached_answer_is_nobodys_conversation(chat: Models, server: LocalDify) -> None:
    model = chat(cache=InMemoryCache())
    ann = await model.ainvoke("/echo hi")
    bob = model.invoke("/echo hi")
    carol = await model.ainvoke("/echo hi")
    assert len(server.requests) == 1
    assert place(ann)
    for answer in (bob, carol):
        assert answer.content == "hi"
        assert "conversation_id" not in answer.response_metadata
    turns = [
        model.invoke([HumanMessage("/echo hi"), answer, HumanMessage("/echo more")])
        for answer in (ann, bob)
    ]
    assert place(turns[0]) == place(ann)
    assert place(turns[1]) != place(ann)
    assert sent(server)[-1] == (
        None,
        "The conversation so far:\nUser: /echo hi\nAssistant: hi\n\n/echo more",
    )


def test_the_first_caller_keeps_the_conversation(chat: Models, server: LocalDify) -> None:
    """The cache may hold the very message that the first caller was given."""
    model = chat(cache=InMemoryCache())
    first = model.invoke("/echo hi")
    model.invoke("/echo hi")
    assert place(model.invoke([HumanMessage("/echo hi"), first, HumanMessage("/echo a")]))
    assert sent(server)[-1] == (place(first), "/echo a")


async def test_a_turn_of_a_conversation_is_never_answered_from_a_cache(
    chat: Models, server: LocalDify
) -> None:
    set_llm_cache(InMemoryCache())
    try:
        model = chat(cache=True)
        first = model.invoke("/echo hi")
        for _ in range(2):
            model.invoke("/echo again", conversation_id=place(first))
            await model.ainvoke([HumanMessage("/echo hi"), first, HumanMessage("/echo again")])
        chat(cache=True, conversation_id=place(first)).invoke("/echo again")
    finally:
        set_llm_cache(None)
    assert sent(server) == [(None, "/echo hi"), *[(place(first), "/echo again")] * 5]


def test_a_cached_answer_in_a_graph_comes_last(chat: Models) -> None:
    """Messages of the same id would take each other's place."""
    model = chat(cache=InMemoryCache())
    graph: Any = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [model.invoke(state["messages"][-1:])]})
    graph.add_edge(START, "answer")
    app = graph.compile(checkpointer=InMemorySaver())
    for _ in range(3):
        config = {"configurable": {"thread_id": "1"}}
        state = app.invoke({"messages": [HumanMessage("/echo hi", id=None)]}, config)
    assert [m.content for m in state["messages"]] == ["/echo hi", "hi"] * 3


# Side jobs ------------------------------------------------------------------------------------


def test_a_detached_model_does_not_write_into_a_conversation(
    chat: Models, server: LocalDify
) -> None:
    model = chat()
    history = [HumanMessage("/echo hi"), model.invoke("/echo hi")]
    side = model.detached()
    title = side.invoke([*history, HumanMessage("/echo a title")])
    assert sent(server)[-1] == (
        None,
        "The conversation so far:\nUser: /echo hi\nAssistant: hi\n\n/echo a title",
    )
    assert title.content == "a title"
    assert title.response_metadata.keys().isdisjoint({"conversation_id", "app", "user"})
    model.invoke([*history, title, HumanMessage("/echo on")])
    assert sent(server)[-1][0] == place(history[1])
    assert (model.memory, side.memory, side.app) == ("server", "none", model.app)


async def test_rows_of_a_batch_leave_no_conversation(chat: Models, server: LocalDify) -> None:
    before = set(living(server))
    side = chat().detached(delete_conversation=True)
    chain = ChatPromptTemplate.from_template("/echo {row}") | side | StrOutputParser()
    rows = [{"row": str(number)} for number in range(20)]
    assert chain.batch(rows) == [str(number) for number in range(20)]
    assert await chain.abatch(rows) == [str(number) for number in range(20)]
    assert "".join(chain.stream({"row": "streamed"})) == "streamed"
    assert "".join([c async for c in chain.astream({"row": "streamed"})]) == "streamed"
    assert set(living(server)) == before


async def test_what_failed_or_was_left_leaves_no_conversation(
    chat: Models, server: LocalDify
) -> None:
    before = set(living(server))
    side = chat().detached(delete_conversation=True)
    with pytest.raises(CompletionRequestError):
        side.invoke("/fail mid")
    with pytest.raises(CompletionRequestError):
        await side.ainvoke("/fail mid")
    for chunk in side.stream("/slow 60 3"):
        assert chunk is not None
        break
    async for chunk in side.astream("/slow 60 3"):
        assert chunk is not None
        break
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in side.astream("/slow 60 3"):
            begun.set()

    task = asyncio.create_task(listen())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_requests, 5, path="/conversations/")
    assert set(living(server)) == before


def test_a_conversation_that_waits_for_a_human_is_not_deleted(
    chat: Models, server: LocalDify
) -> None:
    side = chat(api_key=server.keys["advanced-chat"]).detached(delete_conversation=True)
    with pytest.raises(WorkflowPausedError) as paused:
        side.invoke("/pause The draft.")
    (form,) = paused.value.forms
    answer = side.client.resume(
        paused.value, {"comment": "Fine", "action": form.user_actions[0].id}, user="ann"
    )
    assert answer.conversation_id in [
        conversation.id
        for conversation in side.client.iterate(conversations.list_conversations(user="ann"))
    ]


def test_a_named_conversation_is_not_deleted(chat: Models, server: LocalDify) -> None:
    kept = place(chat().invoke("/echo hi"))
    side = chat(conversation_id="0" * 8).detached(delete_conversation=True)
    side.invoke("/echo aside", conversation_id=kept)
    assert sent(server)[-1] == (kept, "/echo aside")
    assert kept in living(server)


def test_a_failed_deletion_is_logged(chat: Models, server: LocalDify, caplog: Any) -> None:
    side = chat().detached(delete_conversation=True)
    for chunk in side.stream("/echo hi"):
        if conversations_now := living(server):
            for conversation_id in conversations_now:
                side.client.send(conversations.delete(conversation_id, user="ann"))
        assert chunk is not None
    assert "deleting a conversation failed" in caplog.text
    assert server.keys["chat"] not in caplog.text


def test_a_detached_model_survives_copies(chat: Models, monkeypatch: Any) -> None:
    monkeypatch.setenv("DIFY_API_KEY", "app-another")
    side = chat().detached(delete_conversation=True)
    for copied in (pickle.loads(pickle.dumps(side)), copy.deepcopy(side), side.detached()):
        assert copied.memory == "none"
    assert pickle.loads(pickle.dumps(side)).delete_conversation


def test_an_agent_of_a_detached_model(chat: Models, server: LocalDify) -> None:
    before = set(living(server, "planner"))
    side = chat("planner").detached(delete_conversation=True)
    state = create_agent(side, [multiply]).invoke({"messages": [("user", "Multiply 6 and 7")]})
    assert state["messages"][-1].content == "According to the tools: 42"
    assert {c for c, _ in sent(server)} == {None}
    assert set(living(server, "planner")) == before


# Conversations that are gone ------------------------------------------------------------------


async def test_the_error_names_the_way_out(chat: Models) -> None:
    model = chat()
    history = deleted(model)
    with pytest.raises(ConversationNotFoundError, match='on_fork="new"'):
        model.invoke(history)
    assert model.invoke(history, on_fork="new").content == "two"
    assert (await model.bind(on_fork="new").ainvoke(history)).content == "two"


def test_a_named_conversation_that_is_gone(chat: Models, server: LocalDify) -> None:
    model = chat(on_fork="new")
    history = deleted(model)
    gone = place(history[1])
    assert model.invoke("/echo two", conversation_id=gone).content == "two"
    assert sent(server)[-1] == (None, "/echo two")
    answer = model.invoke(history, conversation_id=gone)
    assert place(answer) != gone
    assert sent(server)[-1][1].startswith("The conversation so far:")


def test_arguments_of_a_call(chat: Models, server: LocalDify) -> None:
    model = chat()
    answer = model.invoke("/echo hi")
    history = [HumanMessage("/echo hi"), answer, HumanMessage("/echo two")]
    model.invoke(history, memory="client")
    assert sent(server)[-1][0] is None
    thought = model.invoke("/think I wonder", reasoning=True)
    assert thought.content == "I have thought about it."
    model.bind(on_fork="error").invoke(history)
    with pytest.raises(ConversationForkedError):
        model.invoke(history, on_fork="error")
    with pytest.raises(ValueError, match="memory must be one of server, client, none"):
        model.invoke(history, memory="clint")
    version = "11111111-1111-4111-8111-111111111111"
    with pytest.raises(Exception, match=r"(?i)workflow"):
        chat("advanced-chat").invoke("/echo hi", workflow_id=version)
    assert server.requests[-1].json["workflow_id"] == version


def test_refusals_say_where_an_argument_goes(chat: Models, server: LocalDify) -> None:
    with pytest.raises(
        TypeError, match=r"give it to the constructor, ChatDify\(system_input=...\)"
    ):
        chat().invoke("/echo hi", system_input="x")
    completion = DifyLLM(api_key=server.keys["completion"], base_url=server.base_url)
    with pytest.raises(TypeError, match="a completion app keeps no conversation"):
        completion.invoke("hi", memory="client")


# Written-out history --------------------------------------------------------------------------


def german(messages: Sequence[InputMessage]) -> str:
    names = {"user": "Nutzer", "assistant": "Antwort", "tool": "Werkzeug"}
    return "Bisher:\n" + "\n".join(f"{names[m.role]}: {m.text}" for m in messages)


def test_a_transcript_of_ones_own(chat: Models, server: LocalDify, monkeypatch: Any) -> None:
    model = chat(transcript=german, memory="client")
    history = [HumanMessage("Hallo"), AIMessage("Tag!"), HumanMessage("/echo zwei")]
    model.invoke(history)
    assert queries(server)[-1] == "Bisher:\nNutzer: Hallo\nAntwort: Tag!\n\n/echo zwei"
    assert "german" in str(model._identifying_params["transcript"])
    assert "german" not in repr(model)
    monkeypatch.setenv("DIFY_API_KEY", server.keys["chat"])
    pickle.loads(pickle.dumps(model)).invoke(history)
    assert queries(server)[-1].startswith("Bisher:")
    assert copy.deepcopy(model).transcript is german
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(chat(transcript=lambda _: ""))


async def test_the_server_history_shows_calls_and_no_scaffolding(
    chat: Models, server: LocalDify
) -> None:
    agent = create_agent(chat("planner"), [multiply, weather], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    agent.invoke({"messages": [("user", "Multiply 6 and 7")]}, config)
    held = agent.invoke({"messages": [("user", "How is the weather in Rome?")]}, config)
    history = DifyChatMessageHistory(
        place(held["messages"][-1]),
        api_key=server.keys["planner"],
        base_url=server.base_url,
        user="ann",
    )
    shown = history.messages
    assert [(m.type, m.content) for m in shown] == [(m.type, m.content) for m in held["messages"]]
    calls = [m.tool_calls for m in shown if isinstance(m, AIMessage) and m.tool_calls]
    assert [(c["name"], c["args"]) for (c,) in calls] == [
        ("multiply", {"a": 6, "b": 7}),
        ("weather", {"city": "How is the weather in Rome?"}),
    ]
    results = [m for m in shown if isinstance(m, ToolMessage)]
    assert [m.tool_call_id for m in results] == [call["id"] for (call,) in calls]
    assert await history.aget_messages() == shown


def test_written_out_histories_and_demands_are_not_shown(chat: Models, server: LocalDify) -> None:
    class Planet(BaseModel):
        name: str

    model = chat(memory="client")
    history = [HumanMessage("Hello\n\nyou"), AIMessage("Hi!\n\nHow are you?")]
    answer = model.with_structured_output(Planet, include_raw=True).invoke(
        [*history, HumanMessage('/json {"name": "Mars"}\n\nplease')]
    )["raw"]
    shown = DifyChatMessageHistory(
        place(answer), api_key=server.keys["chat"], base_url=server.base_url, user="ann"
    ).messages
    assert shown[0].content == '/json {"name": "Mars"}\n\nplease'


def test_only_what_nobody_continues_is_deleted(chat: Models) -> None:
    with pytest.raises(ValueError, match=r"use model.detached\(delete_conversation=True\)"):
        chat(delete_conversation=True).invoke("/echo hi")


async def test_what_was_left_before_its_first_event_leaves_no_conversation(
    chat: Models, server: LocalDify
) -> None:
    before = set(living(server))
    side = chat().detached(delete_conversation=True)
    server.fault("delay", path="/chat-messages", seconds=0.3)
    task = asyncio.create_task(side.ainvoke("/slow 60 3"))
    await asyncio.to_thread(server.wait_for_requests, 1, path="/chat-messages")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(server.wait_for_requests, 1, path="/conversations/")
    assert set(living(server)) == before
