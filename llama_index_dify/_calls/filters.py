"""LlamaIndex's metadata filters in Dify's words."""

from __future__ import annotations

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

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
_FOR_TEXT: dict[FilterOperator, ComparisonOperator] = {
    FilterOperator.EQ: "is",
    FilterOperator.NE: "is not",
}
_FOR_NUMBERS: dict[FilterOperator, ComparisonOperator] = {
    FilterOperator.EQ: "=",
    FilterOperator.NE: "≠",
}


def filtering_conditions(filters: MetadataFilters) -> MetadataFilteringConditions:
    """Translate filters on documents' metadata.

    Args:
        filters: Joined by AND or OR; nested ones only where they are joined in the same way,
            because Dify knows no parentheses.

    Raises:
        ValueError: For NOT, mixed nesting, or an operator that Dify does not have.

    Example:
        >>> filters = MetadataFilters(filters=[MetadataFilter(key="language", value="en")])
        >>> filtering_conditions(filters).conditions[0].comparison_operator
        'is'
    """
    condition = filters.condition or FilterCondition.AND
    if condition is FilterCondition.NOT:
        raise ValueError("Dify cannot negate filters; use FilterOperator.NE or NIN instead")
    return MetadataFilteringConditions(
        logical_operator="or" if condition is FilterCondition.OR else "and",
        conditions=_conditions(filters, condition),
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
    value = part.value
    if isinstance(value, list):
        return MetadataCondition(
            name=part.key, comparison_operator=operator, value=[str(item) for item in value]
        )
    return MetadataCondition(name=part.key, comparison_operator=operator, value=value)
