"""What a run of a workflow remembers of the apps that paused in it, in the store of its `Context`.

LlamaIndex executes a step again from its start when what it waited for has come, perhaps in another
process. So what was asked of an app is looked up here before it is asked: a call that paused goes
on, and one that came before it in the same step has its answer already.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.workflow import Context

from dify_api._calls.end_user import private_answer
from dify_api.answers.answer import Answer
from dify_api.answers.events import NodeExecution
from dify_api.models import as_json, decode
from llama_index_dify._context_store import keep, kept

STORE_KEY = "dify_paused_calls"
_UNKNOWN = "step"
_KEPT = 100
"""Steps that are remembered. Whether LlamaIndex will repeat one is not known."""


@dataclass
class PausedCall:
    """A call of an app within a step.

    Attributes:
        call_id: Tells it from the others of its step.
        answer: The answer; so far, where the run waits.
        is_paused: Whether the run waits for a person.
        nodes: The nodes that have ended.
        pauses: How often a person was asked.
        waits: How often the step has begun to wait.
        error: Why what was filled in was not taken.
    """

    call_id: str
    answer: Answer | None = None
    is_paused: bool = False
    nodes: list[NodeExecution] = field(default_factory=list)
    pauses: int = 0
    waits: int = 0
    error: str | None = None

    @property
    def run_id(self) -> str:
        """The run of the app."""
        return (self.answer.workflow_run_id if self.answer else None) or ""

    def as_json(self) -> dict[str, Any]:
        """As it is stored: JSON values, so that it outlives the process by any serializer."""
        return {
            "answer": as_json(private_answer(self.answer)) if self.answer else None,
            "nodes": [as_json(node) for node in self.nodes],
            "is_paused": self.is_paused,
            "pauses": self.pauses,
            "waits": self.waits,
            "error": self.error,
        }

    @classmethod
    def read(cls, call_id: str, kept: Mapping[str, Any]) -> PausedCall:
        """As it was stored."""
        answer = kept["answer"]
        return cls(
            call_id,
            decode(Answer, answer) if answer is not None else None,
            kept["is_paused"],
            decode(list[NodeExecution], kept["nodes"]),
            kept["pauses"],
            kept["waits"],
            kept["error"],
        )


class StepCalls:
    """The calls of apps in one execution of a step.

    Args:
        context: The run of the workflow.
        work_item: The step's piece of work, the same when it is executed again. Older releases
            of LlamaIndex do not tell.
    """

    def __init__(self, context: Context[Any], work_item: str) -> None:
        self._context = context
        self._work_item = work_item
        self._calls: dict[str, PausedCall] = {}
        self._counts: dict[str, int] = {}

    @classmethod
    def of(cls, context: Context[Any]) -> StepCalls | None:
        """Those of the execution that goes on; None outside of a step."""
        step = _running_step()
        if step is None:
            return None
        if id(step) not in _EXECUTIONS:
            work_item = getattr(step.state, "work_item_id", None) or _UNKNOWN
            work_item = work_item.replace(".", "_")  # a place in the store is a path
            _EXECUTIONS[id(step)] = cls(context, work_item)
            weakref.finalize(step, _EXECUTIONS.pop, id(step), None)
        return _EXECUTIONS[id(step)]

    async def find(self, asked: str) -> PausedCall:
        """The next call that asks for this, as it was left in an earlier execution."""
        self._counts[asked] = self._counts.get(asked, 0) + 1
        call_id = f"{asked}#{self._counts[asked]}"
        steps = await kept(self._context, STORE_KEY)
        left = steps.get(self._work_item, {}).get(call_id)
        call = PausedCall.read(call_id, left) if left else PausedCall(call_id)
        self._calls[call_id] = call
        return call

    async def keep(self) -> None:
        """Remember all calls of this execution, since the step will be executed again.

        Raises:
            TypeError: If the workflow has a typed state without a place for it.
        """
        steps = await kept(self._context, STORE_KEY)
        if self._work_item not in steps:
            await keep(self._context, STORE_KEY, self._work_item, {})
            if len(steps) >= _KEPT:
                newest = dict(list(steps.items())[1 - _KEPT :])
                await self._context.store.set(STORE_KEY, {**newest, self._work_item: {}})
        for call in self._calls.values():
            if call.answer is not None:
                await keep(self._context, STORE_KEY, self._place(call), call.as_json())

    async def end(self, call: PausedCall) -> None:
        """Remember that a call that had paused has ended."""
        if self._work_item != _UNKNOWN:
            await self.keep()
        else:  # a later call that asks for the same cannot be told from this one repeated
            await keep(self._context, STORE_KEY, self._place(call), None)

    def _place(self, call: PausedCall) -> str:
        return f"{self._work_item}.{call.call_id}"


_EXECUTIONS: dict[int, StepCalls] = {}


def _running_step() -> Any:
    try:
        from workflows.runtime.types.results import StepWorkerStateContextVar
    except ImportError:
        return None
    return StepWorkerStateContextVar.get(None)
