"""Conditions on documents' metadata, checked before they are sent.

Servers do not refuse a condition that they cannot use: they drop it, and search everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from dify_api._calls.knowledge.document_metadata import field_name
from dify_api.endpoints.knowledge import MetadataCondition, MetadataFilteringConditions

TEXT_OPERATORS = ("contains", "not contains", "start with", "end with")
EQUALITY_OPERATORS = ("is", "is not")
LIST_OPERATORS = ("in", "not in")
NUMBER_OPERATORS = ("=", "≠", ">", "<", "≥", "≤")
TIME_OPERATORS = ("before", "after")
OPERATORS_WITHOUT_VALUE = ("empty", "not empty")
_OPERATORS = (
    *TEXT_OPERATORS,
    *EQUALITY_OPERATORS,
    *LIST_OPERATORS,
    *NUMBER_OPERATORS,
    *TIME_OPERATORS,
    *OPERATORS_WITHOUT_VALUE,
)


def checked_conditions(
    given: MetadataFilteringConditions | Mapping[str, Any],
) -> MetadataFilteringConditions:
    """Conditions in Dify's words, each with an operator and a value that servers act on.

    Args:
        given: `logical_operator` ("and" or "or") and `conditions`, each of `name`,
            `comparison_operator` and `value`.

    Raises:
        ValueError: For a key or an operator that Dify does not have, or a value that the
            operator does not take.

    Example:
        >>> checked_conditions({"conditions": [
        ...     {"name": "language", "comparison_operator": "start with", "value": "en"}
        ... ]})
    """
    if isinstance(given, Mapping):
        try:
            given = MetadataFilteringConditions.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"metadata conditions: {place}: {first['msg']}") from None
    _refuse_unknown(given, "metadata conditions have")
    for condition in given.conditions:
        _check(condition)
    return given


def on_fields(conditions: MetadataFilteringConditions) -> MetadataFilteringConditions:
    """Conditions on metadata that this package has written, as conditions on their fields."""
    copied = conditions.model_copy(deep=True)
    for condition in copied.conditions:
        condition.name = field_name(condition.name)
    return copied


def _check(condition: MetadataCondition) -> None:
    _refuse_unknown(condition, "a metadata condition has")
    operator, value = condition.comparison_operator, condition.value
    if not condition.name:
        raise ValueError("a metadata condition needs the name of a metadata field")
    if operator not in _OPERATORS:
        raise ValueError(f"Dify has no operator {operator!r}; it has {', '.join(_OPERATORS)}")
    problem = _problem(operator, value)
    if problem:
        raise ValueError(
            f"the condition on {condition.name!r}: {operator!r} takes {problem}, not "
            f"{'nothing' if value is None else repr(value)}; servers would ignore the condition "
            "and search everything"
        )


def _problem(operator: str, value: object) -> str | None:
    """What the operator takes, if not this."""
    if operator in OPERATORS_WITHOUT_VALUE:
        return None if value is None else "no value"
    if operator in LIST_OPERATORS:
        return None if value and isinstance(value, list | str) else "a list of texts"
    if operator in TEXT_OPERATORS:
        return None if isinstance(value, str) else "a text"
    if operator in EQUALITY_OPERATORS:
        return None if isinstance(value, str | int | float) else "a text or a number"
    if operator in TIME_OPERATORS:
        return None if _is_number(value) else "a number, seconds since 1970"
    return None if _is_number(value) or _is_number_as_text(value) else "a number"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number_as_text(value: object) -> bool:
    try:
        return isinstance(value, str) and float(value) == float(value)
    except ValueError:
        return False


def _refuse_unknown(given: MetadataFilteringConditions | MetadataCondition, subject: str) -> None:
    if given.model_extra:
        known = ", ".join(type(given).model_fields)
        raise ValueError(f"{subject} no {', '.join(given.model_extra)}; only {known}")
