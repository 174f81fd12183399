"""What is known of a run only when its answer has come, told to the tracers that hold the run.

Callbacks hand over metadata when a run begins. Ids, usage and price come later, so they are added
to the run that a tracer keeps until it ends: any `BaseTracer`, such as those of LangSmith and
OpenInference.
"""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import BaseRunManager
from langchain_core.callbacks.manager import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer

from dify_api.answers._usage import SPAN_COSTS, costs_in_dollars
from dify_api.answers.answer import Answer
from langchain_dify._answers.metadata import usage_metadata

_SESSION_IDS = ("session_id", "thread_id", "conversation_id")
"""By which LangSmith puts runs into threads, and OpenInference into sessions."""

_COSTS = {
    "prompt_price": "input_cost",
    "completion_price": "output_cost",
    "total_price": "total_cost",
}
"""LangSmith's names of prices; it counts in US dollars."""


def add_run_facts(above: BaseRunManager, answer: Answer) -> None:
    """Tell the tracers of a run what its answer has brought."""
    is_model = isinstance(above, CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun)
    for handler in above.handlers:
        if not isinstance(handler, BaseTracer | AsyncBaseTracer):
            continue
        run = handler.run_map.get(str(above.run_id))
        if run is None:
            continue
        extra = run.extra if run.extra is not None else {}
        metadata = {**(extra.get("metadata") or {}), **_ids(answer)}
        if answer.conversation_id and not any(metadata.get(name) for name in _SESSION_IDS):
            metadata["conversation_id"] = answer.conversation_id
        if is_model and (costs := costs_in_dollars(answer.usage, _COSTS)):
            metadata = _Metadata(metadata, costs)
            metadata["usage_metadata"] = dict(usage_metadata(answer) or {})
            _set_span_costs(handler, above, costs_in_dollars(answer.usage, SPAN_COSTS))
        extra["metadata"] = metadata
        run.extra = extra


class _Metadata(dict[str, Any]):
    """A run's metadata whose usage keeps its costs.

    langchain-core writes the message's usage there when the run ends. That cannot hold costs:
    usage is added up, as whole numbers only.
    """

    def __init__(self, metadata: dict[str, Any], costs: dict[str, float]) -> None:
        super().__init__(metadata)
        self._costs = costs

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, {**value, **self._costs} if name == "usage_metadata" else value)


def _ids(answer: Answer) -> dict[str, str]:
    ids = {
        "dify_conversation_id": answer.conversation_id,
        "dify_message_id": answer.message_id,
        "dify_task_id": answer.task_id,
        "dify_workflow_run_id": answer.workflow_run_id,
    }
    usage = answer.usage
    if usage is not None and usage.total_price is not None:
        ids |= {"dify_total_price": str(usage.total_price), "dify_currency": usage.currency}
    return {name: value for name, value in ids.items() if value}


def _set_span_costs(handler: object, above: BaseRunManager, costs: dict[str, float]) -> None:
    """For OpenInference, whose tracer keeps a span for each run, and reads no costs."""
    get_span = getattr(handler, "get_span", None)
    span: Any = get_span(above.run_id) if callable(get_span) else None
    if span is not None:
        for name, cost in costs.items():
            span.set_attribute(name, cost)
