"""Structured prediction of models that think aloud, and agents that need function calling."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel

from llama_index_dify import Dify, DifyCompletion
from tests.llama_index_dify.support import message, message_end, streaming

_THINKING = (
    "<think>\nI need JSON such as ",
    '{"name": "Venus", "moons": 0}, no: {',
    "\n</think>\n\n",
    '{"name": "Mars",',
    ' "moons": 2}',
)
_PROMPT = PromptTemplate("Which planet is it? {text}")


class Planet(BaseModel):
    name: str
    moons: int


async def _predict(llm: Any, way: str) -> Any:
    arguments = (Planet, _PROMPT)
    if way == "structured_predict":
        return llm.structured_predict(*arguments, text="red")
    if way == "astructured_predict":
        return await llm.astructured_predict(*arguments, text="red")
    if way == "stream_structured_predict":
        return list(llm.stream_structured_predict(*arguments, text="red"))[-1]
    if way == "astream_structured_predict":
        stream = await llm.astream_structured_predict(*arguments, text="red")
        return [growing async for growing in stream][-1]
    return llm.as_structured_llm(Planet).chat([ChatMessage("red")]).raw


_WAYS = [
    "structured_predict",
    "astructured_predict",
    "stream_structured_predict",
    "astream_structured_predict",
    "as_structured_llm",
]


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("kind", [Dify, DifyCompletion])
async def test_thoughts_are_no_part_of_the_structure(
    kind: type[Dify | DifyCompletion], way: str
) -> None:
    spans = SimpleSpanHandler()
    root = get_dispatcher()
    root.add_span_handler(spans)
    try:
        with streaming(*map(message, _THINKING), message_end()) as server:
            llm = kind(api_key="app-test", base_url=server.base_url)
            predicted = await _predict(llm, way)
    finally:
        root.span_handlers.remove(spans)
    assert predicted.model_dump() == {"name": "Mars", "moons": 2}
    assert not llm.reasoning
    names = [span.id_.split("-")[0] for span in spans.completed_spans]
    assert names.count(f"{kind.__name__}.{way}") == (way != "as_structured_llm")


async def test_a_function_agent_is_told_what_to_use_instead(llm: Dify) -> None:
    with pytest.raises(ValueError, match="use ReActAgent"):
        await FunctionAgent(tools=[], llm=llm).run(user_msg="Hello")
    assert isinstance(
        AgentWorkflow.from_tools_or_functions([_moons], llm=llm).agents["Agent"], ReActAgent
    )


def _moons(planet: str) -> int:
    """How many moons a planet has."""
    return len(planet)
