"""What LlamaIndex builds on a model: structured outputs, agents, workflows, query pipelines."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from dify_local import LocalDify
from llama_index_dify import Dify, DifyCompletion, source_nodes
from tests.llama_index_dify.support import message, message_end, streaming

streamed_programs = pytest.mark.skipif(
    "stream_call" not in vars(LLMTextCompletionProgram),
    reason="this release of llama-index-core streams no text programs",
)


class Planet(BaseModel):
    """A planet."""

    name: str
    moons: int


SATURN = '/json {"name": "Saturn", "moons": 146}'
PROMPT = PromptTemplate("{question}")


def planets(llm: Dify | DifyCompletion) -> list[Any]:
    return list(llm.stream_structured_predict(Planet, PROMPT, question=SATURN))


async def test_structured_predict(llm: Dify, completion_llm: DifyCompletion) -> None:
    for model in (llm, completion_llm):
        found = model.structured_predict(Planet, PROMPT, question=SATURN)
        assert found == Planet(name="Saturn", moons=146)
        found = await model.astructured_predict(Planet, PROMPT, question=SATURN)
        assert found == Planet(name="Saturn", moons=146)


def test_structured_predict_with_arguments_of_the_call(llm: Dify, local: LocalDify) -> None:
    llm.structured_predict(Planet, PROMPT, llm_kwargs={"user": "bob"}, question=SATURN)
    assert local.requests[-1].json["user"] == "bob"


@streamed_programs
async def test_streamed_structured_predict(llm: Dify) -> None:
    partial = planets(llm)
    assert partial[-1].name == "Saturn"
    assert partial[-1].moons == 146
    stream = await llm.astream_structured_predict(Planet, PROMPT, question=SATURN)
    found = [planet async for planet in stream]
    assert (found[-1].name, found[-1].moons) == ("Saturn", 146)


@streamed_programs
def test_streamed_structured_predict_is_partial_at_first() -> None:
    pieces = ['{"name": "Sat', 'urn", ', '"moons": 146}']
    with streaming(*map(message, pieces), message_end()) as server:
        partial = planets(Dify(api_key="app-test", base_url=server.base_url))
    assert len(partial) >= 2
    assert partial[-1].moons == 146


async def test_structured_llm(llm: Dify) -> None:
    structured = llm.as_structured_llm(Planet)
    response = structured.chat([ChatMessage(SATURN)])
    assert response.raw == Planet(name="Saturn", moons=146)
    assert source_nodes(response) == []  # core keeps the object instead of what Dify said
    assert (await structured.achat([ChatMessage(SATURN)])).raw == response.raw


@streamed_programs
def test_streamed_structured_llm(llm: Dify) -> None:
    *_, last = llm.as_structured_llm(Planet).stream_chat([ChatMessage(SATURN)])
    assert last.raw.name == "Saturn"


def test_predict_and_stream(llm: Dify) -> None:
    assert llm.predict(PromptTemplate("/echo {word}"), word="hi") == "hi"
    assert list(llm.stream(PromptTemplate("/echo {word}"), word="one two")) == ["one ", "two", ""]


def test_response_synthesizer(llm: Dify, local: LocalDify) -> None:
    """As the model of a query engine of LlamaIndex's own."""
    synthesizer = get_response_synthesizer(llm=llm, response_mode="compact")
    node = NodeWithScore(node=TextNode(text="Saturn has 146 moons."), score=1.0)
    answer = synthesizer.synthesize("Which planet has most moons?", nodes=[node])
    assert "Saturn" in str(answer)
    assert "Saturn has 146 moons." in local.requests[-1].json["query"]


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


@pytest.fixture
def planner(local: LocalDify) -> Dify:
    """Agents resend everything at each step, so Dify need not keep their conversation."""
    return Dify(api_key=local.keys["planner"], base_url=local.base_url, memory="client")


async def test_react_agent(planner: Dify) -> None:
    agent = ReActAgent(tools=[FunctionTool.from_defaults(multiply)], llm=planner)
    run = agent.run("What is 6 times 7?")
    events = [event async for event in run.stream_events()]
    deltas = [event.delta for event in events if isinstance(event, AgentStream)]
    result = await run
    assert "42" in str(result)
    assert [call.tool_name for call in result.tool_calls] == ["multiply"]
    assert "".join(deltas)


async def test_react_agent_without_streaming_and_over_turns(planner: Dify) -> None:
    agent = ReActAgent(tools=[FunctionTool.from_defaults(multiply)], llm=planner, streaming=False)
    memory = ChatMemoryBuffer.from_defaults(token_limit=30_000)
    for question, answer in (("What is 6 times 7?", "42"), ("What is 2 times 4?", "8")):
        assert answer in str(await agent.run(question, memory=memory))


async def test_agent_workflow(planner: Dify) -> None:
    workflow = AgentWorkflow.from_tools_or_functions([multiply], llm=planner)
    assert "42" in str(await workflow.run(user_msg="What is 6 times 7?"))


async def test_agent_workflow_with_memory_of_the_server(local: LocalDify) -> None:
    """Not recommended, but it goes well: each step's transcript holds no answer of Dify's."""
    llm = Dify(api_key=local.keys["planner"], base_url=local.base_url)
    workflow = AgentWorkflow.from_tools_or_functions([multiply], llm=llm)
    assert "42" in str(await workflow.run(user_msg="What is 6 times 7?"))


async def test_function_agents_refuse_it(llm: Dify) -> None:
    """Fact 13. `AgentWorkflow.from_tools_or_functions` takes a ReActAgent by itself."""
    assert not llm.metadata.is_function_calling_model
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(multiply)], llm=llm)
    with pytest.raises(ValueError, match="use ReActAgent"):
        await agent.run("What is 6 times 7?")


async def test_thinking_reaches_agent_streams(local: LocalDify) -> None:
    """Fact 13: it is read from `additional_kwargs["thinking_delta"]`."""
    llm = Dify(api_key=local.keys["chat"], base_url=local.base_url, memory="client", reasoning=True)
    run = ReActAgent(llm=llm, tools=[]).run("/think hard")
    thoughts = [
        event.thinking_delta or ""
        async for event in run.stream_events()
        if isinstance(event, AgentStream)
    ]
    await run
    assert "hard" in "".join(thoughts)


def test_stock_chat_engine(llm: Dify, local: LocalDify) -> None:
    """It works, too; its streams lose all blocks but text, and with them the conversation."""
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer.from_defaults())
    engine.chat("Which planet has most moons?")
    assert "Titan" in str(engine.chat("And which of those is the largest?"))
    assert local.requests[-1].json["query"] == "And which of those is the largest?"
