"""LlamaIndex's metadata filters in Dify's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from dify_api._calls.metadata_conditions import LIST_OPERATORS, checked_conditions
from dify_api.endpoints.knowledge import (
    ComparisonOperator,
    MetadataCondition,
    MetadataFilteringConditions,
)

_OPERATORS: dict[FilterOperator, ComparisonOperator] = {
    FilterOperator.GT: ">",
    FilterOperator.LT: "<",
    FilterOperator.GTE: "≥",
    FilterOperator.LTE: "≤",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "not in",
    FilterOperator.TEXT_MATCH: "contains",
    FilterOperator.CONTAINS: "contains",
    FilterOperator.IS_EMPTY: "empty",
}
_ORDER = (FilterOperator.GT, FilterOperator.LT, FilterOperator.GTE, FilterOperator.LTE)
_FOR_TEXT: dict[FilterOperator, ComparisonOperator] = {
    FilterOperator.EQ: "is",
    FilterOperator.NE: "is not",
}
_FOR_NUMBERS: dict[FilterOperator, ComparisonOperator] = {
    FilterOperator.EQ: "=",
    FilterOperator.NE: "≠",
}


Filters = MetadataFilters | MetadataFilteringConditions | Mapping[str, Any]
"""LlamaIndex's filters, or conditions in Dify's own words, with all its operators."""


def filtering_conditions(filters: Filters) -> MetadataFilteringConditions:
    """Translate filters on documents' metadata.

    Args:
        filters: Joined by AND or OR; nested ones only where they are joined in the same way,
            because Dify knows no parentheses. Conditions in Dify's own words are only checked.

    Raises:
        ValueError: For NOT, mixed nesting, an operator that Dify does not have, or a value that
            the operator does not take: servers would drop the condition and search everything.

    Example:
        >>> filters = MetadataFilters(filters=[MetadataFilter(key="language", value="en")])
        >>> filtering_conditions(filters).conditions[0].comparison_operator
        'is'
        >>> starts = {"name": "language", "comparison_operator": "start with", "value": "en"}
        >>> filtering_conditions({"conditions": [starts]})
    """
    if not isinstance(filters, MetadataFilters):
        return checked_conditions(filters)
    condition = filters.condition or FilterCondition.AND
    if condition is FilterCondition.NOT:
        raise ValueError("Dify cannot negate filters; use FilterOperator.NE or NIN instead")
    return checked_conditions(
        MetadataFilteringConditions(
            logical_operator="or" if condition is FilterCondition.OR else "and",
            conditions=_conditions(filters, condition),
        )
    )


def _conditions(filters: MetadataFilters, condition: FilterCondition) -> list[MetadataCondition]:
    found: list[MetadataCondition] = []
    for part in filters.filters:
        if not isinstance(part, MetadataFilters):
            found.append(_condition(part))
        elif len(part.filters) < 2 or (part.condition or FilterCondition.AND) is condition:
            found += _conditions(part, condition)
        else:
            raise ValueError("Dify joins all filters by AND or all by OR, not some by each")
    return found


def _condition(part: MetadataFilter) -> MetadataCondition:
    numeric = isinstance(part.value, int | float)
    equality = _FOR_NUMBERS if numeric else _FOR_TEXT
    operator = equality.get(part.operator) or _OPERATORS.get(part.operator)
    if operator is None:
        raise ValueError(f"Dify has no filter operator like FilterOperator.{part.operator.name}")
    value: Any = part.value
    if part.operator in _ORDER and isinstance(value, str):
        raise ValueError(
            f"FilterOperator.{part.operator.name} compares numbers, and {part.key!r} is compared "
            f"with the text {value!r}: give a number (a date as seconds since 1970)"
        )
    if operator == "empty":
        value = None
    if isinstance(value, list) and operator in LIST_OPERATORS:
        value = [str(item) for item in value]
    return MetadataCondition.model_construct(
        name=part.key, comparison_operator=operator, value=value
    )
