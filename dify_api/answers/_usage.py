"""The usage of a run, summed from its nodes: workflows tell no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_api.answers.workflow_events import NodeExecution, WorkflowFinished
from dify_api.models import Usage, decode

SPAN_COSTS = {
    "prompt_price": "llm.cost.prompt",
    "completion_price": "llm.cost.completion",
    "total_price": "llm.cost.total",
}
"""OpenInference's names of prices; it counts in US dollars."""


def costs_in_dollars(usage: Usage | None, names: Mapping[str, str]) -> dict[str, float]:
    """The prices by other names, as numbers; none where they are not in US dollars."""
    if usage is None or usage.currency != "USD":
        return {}
    return {
        name: float(price)
        for field, name in names.items()
        if (price := getattr(usage, field)) is not None
    }


def usage_of_node(node: NodeExecution) -> Usage | None:
    """The tokens and the price of a node; None for one that called no model.

    Nodes that only hand on another's usage as an output have no tokens of their own.
    """
    spent = node.execution_metadata or {}
    if not spent.get("total_tokens"):
        return None
    for told in (node.process_data, node.outputs):
        usage = (told or {}).get("usage")
        if isinstance(usage, Mapping) and usage.get("total_tokens") == spent["total_tokens"]:
            return decode(Usage, usage)
    known = ("total_tokens", "total_price", "currency")
    return decode(Usage, {name: spent[name] for name in known if spent.get(name) is not None})


class NodeUsages:
    """Sums what the nodes of a run have used.

    Args:
        before: What was used before, where a run goes on.
    """

    def __init__(self, before: Usage | None = None) -> None:
        self._by_node: dict[str, Usage] = {} if before is None else {"": before}

    @property
    def _usages(self) -> list[Usage]:
        return list(self._by_node.values())

    def take(self, node: NodeExecution) -> None:
        """Take a node that has ended; one that is replayed counts once."""
        if usage := usage_of_node(node):
            self._by_node[node.id or str(len(self._by_node))] = usage

    def build(self, workflow: WorkflowFinished | None) -> Usage | None:
        """The sum so far; None where nothing tells.

        Args:
            workflow: The end of the run, whose total counts.
        """
        total = workflow.total_tokens if workflow else None
        if not total and not self._usages:
            return None
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in self._usages),
            completion_tokens=sum(usage.completion_tokens for usage in self._usages),
            total_tokens=sum(u.total_tokens for u in self._usages) if total is None else total,
            **self._prices(),
        )

    def _prices(self) -> dict[str, Any]:
        """The prices that all nodes tell, where they are in one currency."""
        if len({usage.currency for usage in self._usages}) != 1:
            return {}
        prices: dict[str, Any] = {"currency": self._usages[0].currency}
        for name in ("prompt_price", "completion_price", "total_price"):
            told = [value for u in self._usages if (value := getattr(u, name)) is not None]
            if len(told) == len(self._usages):
                prices[name] = sum(told)
        return prices
