"""Metadata filters in Dify's words."""

from __future__ import annotations

import pytest
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from llama_index_dify._calls.filters import filtering_conditions


def _one(operator: FilterOperator, value: object) -> tuple[str, object]:
    part = MetadataFilter(key="key", value=value, operator=operator)  # type: ignore[arg-type]
    [condition] = filtering_conditions(MetadataFilters(filters=[part])).conditions
    assert condition.name == "key"
    return condition.comparison_operator, condition.value


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (FilterOperator.EQ, "en", ("is", "en")),
        (FilterOperator.EQ, 5, ("=", 5)),
        (FilterOperator.NE, "en", ("is not", "en")),
        (FilterOperator.NE, 0.5, ("≠", 0.5)),
        (FilterOperator.GT, 5, (">", 5)),
        (FilterOperator.LT, 5, ("<", 5)),
        (FilterOperator.GTE, 5, ("≥", 5)),
        (FilterOperator.LTE, 5, ("≤", 5)),
        (FilterOperator.IN, ["en", "fr"], ("in", ["en", "fr"])),
        (FilterOperator.NIN, [1, 2], ("not in", ["1", "2"])),
        (FilterOperator.TEXT_MATCH, "sat", ("contains", "sat")),
        (FilterOperator.CONTAINS, "sat", ("contains", "sat")),
        (FilterOperator.IS_EMPTY, None, ("empty", None)),
    ],
)
def test_operators(operator: FilterOperator, value: object, expected: tuple[str, object]) -> None:
    assert _one(operator, value) == expected


@pytest.mark.parametrize(
    "operator", [FilterOperator.ANY, FilterOperator.ALL, FilterOperator.TEXT_MATCH_INSENSITIVE]
)
def test_what_dify_lacks_is_refused_by_name(operator: FilterOperator) -> None:
    with pytest.raises(ValueError, match=operator.name):
        _one(operator, "x")


def _filter(key: str) -> MetadataFilter:
    return MetadataFilter(key=key, value="x")


def test_filters_are_joined_by_one_condition() -> None:
    either = MetadataFilters(filters=[_filter("a"), _filter("b")], condition=FilterCondition.OR)
    assert filtering_conditions(either).logical_operator == "or"
    assert filtering_conditions(MetadataFilters(filters=[_filter("a")])).logical_operator == "and"


def test_nested_filters_of_the_same_condition_are_flattened() -> None:
    inner = MetadataFilters(filters=[_filter("b"), _filter("c")])
    nested = filtering_conditions(MetadataFilters(filters=[_filter("a"), inner]))
    assert [condition.name for condition in nested.conditions] == ["a", "b", "c"]


def test_mixed_and_negated_filters_are_refused() -> None:
    inner = MetadataFilters(filters=[_filter("b"), _filter("c")], condition=FilterCondition.OR)
    with pytest.raises(ValueError, match="not some by each"):
        filtering_conditions(MetadataFilters(filters=[_filter("a"), inner]))
    negated = MetadataFilters(filters=[_filter("a")], condition=FilterCondition.NOT)
    with pytest.raises(ValueError, match="negate"):
        filtering_conditions(negated)
