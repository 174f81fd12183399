"""Tool calls that were read out of an answer, as LangChain's."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import InvalidToolCall
from langchain_core.messages.tool import ToolCall, invalid_tool_call, tool_call

from dify_api.answers._tool_calls import Call


def valid_calls(calls: Sequence[Call]) -> list[ToolCall]:
    """Those that can be made."""
    return [
        tool_call(name=call.name, args=call.arguments, id=call.id)
        for call in calls
        if call.error is None
    ]


def invalid_calls(calls: Sequence[Call]) -> list[InvalidToolCall]:
    """Those that cannot."""
    return [
        invalid_tool_call(
            name=call.name, args=unreadable_arguments(call), id=call.id, error=call.error
        )
        for call in calls
        if call.error is not None
    ]


def unreadable_arguments(call: Call) -> str:
    """The arguments of a call that cannot be made: its own text, without the opening bracket.

    langchain-core reads the arguments of chunks leniently, and would make a valid call of what is
    an object or begins as one.
    """
    return call.text.strip()[1:]
