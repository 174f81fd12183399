"""Metadata filters in Dify's words."""

from __future__ import annotations

import pytest
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from dify_api.endpoints.knowledge import MetadataFilteringConditions
from llama_index_dify._calls.filters import filtering_conditions

_UNLIKE_DIFY = {"ANY", "ALL", "TEXT_MATCH_INSENSITIVE", "IS_EMPTY"}


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


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        *((operator, None) for operator in FilterOperator if operator.name not in _UNLIKE_DIFY),
        (FilterOperator.EQ, ["en", "fr"]),
        (FilterOperator.NE, ["en"]),
        (FilterOperator.EQ, [1, 2]),
        (FilterOperator.GT, "five"),
        (FilterOperator.GTE, "5"),
        (FilterOperator.LT, "2020-01-01"),
        (FilterOperator.LTE, [5]),
        (FilterOperator.IN, []),
        (FilterOperator.IN, 5),
        (FilterOperator.NIN, []),
        (FilterOperator.CONTAINS, 5),
        (FilterOperator.TEXT_MATCH, ["sat"]),
    ],
)
def test_what_servers_would_ignore_is_refused(operator: FilterOperator, value: object) -> None:
    """They drop such a condition and search everything."""
    with pytest.raises(ValueError, match="key") as raised:
        _one(operator, value)
    assert "takes" in str(raised.value) or "give a number" in str(raised.value)


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("start with", "sat"),
        ("end with", "urn"),
        ("not contains", "x"),
        ("contains", "x"),
        ("is", "en"),
        ("is not", 5),
        ("in", ["en"]),
        ("not in", "en,fr"),
        ("=", "5"),
        ("≠", 5),
        (">", 5),
        ("≤", 0.5),
        ("before", 1700000000),
        ("after", 1700000000),
        ("empty", None),
        ("not empty", None),
    ],
)
def test_operators_of_dify(operator: str, value: object) -> None:
    given = {"conditions": [{"name": "key", "comparison_operator": operator, "value": value}]}
    for form in (given, MetadataFilteringConditions.model_validate(given)):
        [condition] = filtering_conditions(form).conditions
        assert (condition.comparison_operator, condition.value) == (operator, value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"condition": []}, "condition"),
        ({"logical_operator": "xor", "conditions": []}, "logical_operator"),
        ({"conditions": [{"name": "k", "operator": "is", "value": "x"}]}, "operator"),
        ({"conditions": [{"name": "k", "comparison_operator": "==", "value": 1}]}, "operator"),
        ({"conditions": [{"name": "k", "comparison_operator": "is"}]}, "not nothing"),
        ({"conditions": [{"name": "k", "comparison_operator": ">", "value": "x"}]}, "a number"),
        ({"conditions": [{"name": "k", "comparison_operator": "after", "value": "5"}]}, "1970"),
        ({"conditions": [{"name": "k", "comparison_operator": "empty", "value": "x"}]}, "no value"),
        ({"conditions": [{"comparison_operator": "is", "value": "x"}]}, "name"),
    ],
)
def test_conditions_of_dify_are_checked(given: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        filtering_conditions(given)
