"""Structured prediction, and the refusal of what needs real function calling."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator
from inspect import unwrap
from typing import Any

from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel
from typing_extensions import TypeVar

OutputT = TypeVar("OutputT", bound=BaseModel)
_FUNCTION_AGENT = "llama_index.core.agent.workflow.function_agent"


class StructuredLLM(CustomLLM, defer_build=True):
    """Predicts structures from the answer alone: thoughts hold braces, too.

    The methods are those of LlamaIndex, without their spans, which these have.
    """

    def structured_predict(
        self,
        output_cls: type[OutputT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> OutputT:
        """Answer a prompt with an instance of `output_cls`; see `LLM.structured_predict`."""
        predicted: OutputT = unwrap(LLM.structured_predict)(
            self, output_cls, prompt, _without_thoughts(llm_kwargs), **prompt_args
        )
        return predicted

    async def astructured_predict(
        self,
        output_cls: type[OutputT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> OutputT:
        """`structured_predict` for asyncio."""
        predicted: OutputT = await unwrap(LLM.astructured_predict)(
            self, output_cls, prompt, _without_thoughts(llm_kwargs), **prompt_args
        )
        return predicted

    def stream_structured_predict(
        self,
        output_cls: type[OutputT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[OutputT | FlexibleModel, None, None]:
        """`structured_predict`, the instance as it grows."""
        growing: Generator[OutputT | FlexibleModel, None, None]
        growing = unwrap(LLM.stream_structured_predict)(
            self, output_cls, prompt, _without_thoughts(llm_kwargs), **prompt_args
        )
        return growing

    async def astream_structured_predict(
        self,
        output_cls: type[OutputT],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[OutputT | FlexibleModel, None]:
        """`stream_structured_predict` for asyncio."""
        growing: AsyncGenerator[OutputT | FlexibleModel, None]
        growing = await unwrap(LLM.astream_structured_predict)(
            self, output_cls, prompt, _without_thoughts(llm_kwargs), **prompt_args
        )
        return growing


def _without_thoughts(llm_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    return {"reasoning": True, **(llm_kwargs or {})}


def refuse_function_agent() -> None:
    """Say what to use instead of a `FunctionAgent`, which only says that it cannot be used.

    It looks at the model's metadata first, and gives no other place to say it.

    Raises:
        ValueError: If a `FunctionAgent` asks.
    """
    if sys._getframe(2).f_globals.get("__name__") == _FUNCTION_AGENT:
        raise ValueError(
            "FunctionAgent needs a model with function calling, which Dify's API does not have: "
            "use ReActAgent(tools=..., llm=...), CodeActAgent, or "
            "AgentWorkflow.from_tools_or_functions(...), with llm=Dify(...).detached(); or give "
            "FunctionAgent another model, and the app as a tool: DifyTool.from_app(...)"
        )
