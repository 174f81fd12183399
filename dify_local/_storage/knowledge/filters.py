"""Metadata filters: which documents a retrieval may find, by the values of their fields.

The operators do what Dify's SQL does: a condition without a value counts as none, a field that a
document lacks fulfils only `empty`, numbers are compared as numbers also when given as text, and a
field that no document has finds nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dify_local._protocol.errors import ApiError

Operator = Literal[
    "contains", "not contains", "start with", "end with", "is", "is not", "empty", "not empty",
    "in", "not in", "=", "≠", ">", "<", "≥", "≤", "before", "after",
]  # fmt: skip

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "≠": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "≥": operator.ge,
    "≤": operator.le,
    "after": operator.gt,
    "before": operator.lt,
}
_TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda value, wanted: wanted in value,
    "not contains": lambda value, wanted: wanted not in value,
    "start with": str.startswith,
    "end with": str.endswith,
    "is": operator.eq,
    "is not": operator.ne,
}


class Condition(BaseModel):
    """One condition on a metadata field."""

    model_config = ConfigDict(defer_build=True)

    name: str
    comparison_operator: Operator
    value: str | list[str] | int | float | None = None


class MetadataFilteringCondition(BaseModel):
    """Conditions, all or one of which a document must fulfil."""

    model_config = ConfigDict(defer_build=True)

    logical_operator: Literal["and", "or"] | None = "and"
    conditions: list[Condition] | None = None


def fulfils(metadata: dict[str, object], wanted: MetadataFilteringCondition) -> bool:
    """Tell whether a document's metadata fulfil some conditions.

    Raises:
        ApiError: A comparison of numbers has a value that is none: a 500, as with Dify.

    Example:
        >>> later = Condition(name="year", comparison_operator=">", value=1700)
        >>> fulfils({"year": 1877}, MetadataFilteringCondition(conditions=[later]))
        True
    """
    conditions = [one for one in wanted.conditions or [] if _counts(one)]
    if not conditions:
        return True
    decide = any if wanted.logical_operator == "or" else all
    return decide(_holds(metadata, one) for one in conditions)


def _counts(condition: Condition) -> bool:
    return condition.value is not None or condition.comparison_operator in {"empty", "not empty"}


def _holds(metadata: dict[str, object], condition: Condition) -> bool:
    name, value = condition.comparison_operator, metadata.get(condition.name)
    if name in {"empty", "not empty"}:
        # A value that was set to null is there.
        return (condition.name in metadata) == (name == "not empty")
    if value is None:
        return False
    if name in {"in", "not in"}:
        return (_text(value) in _choices(condition.value)) == (name == "in")
    if name in _COMPARISONS:
        return _COMPARISONS[name](_number(value), _number(condition.value))
    if isinstance(value, (int, float)) and name in {"is", "is not"}:
        return (value == _number(condition.value)) == (name == "is")
    return _TEXT_TESTS[name](_text(value), _text(condition.value))


def _choices(value: object) -> list[str]:
    parts = value if isinstance(value, list) else _text(value).split(",")
    return [_text(part).strip() for part in parts]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise ApiError(
            500,
            "internal_server_error",
            "(psycopg2.errors.InvalidTextRepresentation) invalid input syntax for type double "
            f'precision: "{value}"',
        ) from None
