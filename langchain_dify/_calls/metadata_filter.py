"""A retriever's `metadata_filter` in Dify's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from dify_api._calls.metadata_conditions import OPERATORS_WITHOUT_VALUE, checked_conditions
from dify_api.endpoints.knowledge import MetadataCondition, MetadataFilteringConditions

MetadataFilter: TypeAlias = MetadataFilteringConditions | Mapping[str, Any] | None
"""Values by name, or conditions as Dify's reference has them."""

_DIFYS_OWN = MetadataFilteringConditions.model_fields.keys()
_OF_VECTOR_STORES = {
    "$gt": ">",
    "$gte": "≥",
    "$lt": "<",
    "$lte": "≤",
    "$in": "in",
    "$nin": "not in",
}


def filtering_conditions(given: MetadataFilter) -> MetadataFilteringConditions | None:
    """The conditions of a filter; None for one that holds nothing.

    Raises:
        ValueError: For a key, an operator or a value that servers would ignore, searching
            everything.

    Example:
        >>> filtering_conditions({"topic": "moons", "year": {">": 1900}}).conditions
        [MetadataCondition(name='topic', comparison_operator='is', value='moons'),
         MetadataCondition(name='year', comparison_operator='>', value=1900)]
    """
    if given is None or (isinstance(given, Mapping) and not given):
        return None
    if not isinstance(given, MetadataFilteringConditions | Mapping):
        raise ValueError(
            'metadata_filter must be a dict such as {"topic": "moons"}, not '
            f"{type(given).__name__}"
        )
    if isinstance(given, Mapping) and not _DIFYS_OWN & given.keys():
        conditions = [part for name, value in given.items() for part in _conditions(name, value)]
        given = MetadataFilteringConditions(conditions=conditions)
    elif isinstance(given, Mapping) and "conditions" not in given:
        raise ValueError(f"metadata_filter has {', '.join(given)} but no conditions")
    checked = checked_conditions(given)
    return checked if checked.conditions else None


def _conditions(name: str, value: object) -> list[MetadataCondition]:
    """The conditions on one field: that it is the value, or what a dict of operators says."""
    if isinstance(value, list | tuple | set) and any(isinstance(v, Mapping) for v in value):
        raise ValueError(
            f'metadata_filter: {name!r} is no list of conditions; Dify calls that "conditions"'
        )
    if not isinstance(value, Mapping):
        return [_condition(name, _equality(value), value)]
    if not value:
        raise ValueError(f"metadata_filter: {name!r} names no operator")
    return [_condition(name, *_comparison(word, part)) for word, part in value.items()]


def _comparison(word: str, value: object) -> tuple[str, object]:
    if word == "$eq":
        return _equality(value), value
    if word == "$ne":
        return "≠" if _is_number(value) else "is not", value
    operator = _OF_VECTOR_STORES.get(word, word)
    # What takes no value is written {"topic": {"empty": True}}.
    return operator, None if operator in OPERATORS_WITHOUT_VALUE and value is True else value


def _equality(value: object) -> str:
    if isinstance(value, list | tuple | set):
        return "in"
    return "=" if _is_number(value) else "is"


def _condition(name: str, operator: str, value: object) -> MetadataCondition:
    sent: Any = value
    word: Any = operator
    if isinstance(value, bool):
        raise ValueError(
            f"the condition on {name!r}: metadata are texts, numbers or times, not {value!r}"
        )
    if isinstance(value, datetime):
        sent = value.timestamp()
    elif isinstance(value, list | tuple | set):
        sent = [str(item) for item in value]
    # Not validated here: what is wrong with it is said in the words of `checked_conditions`.
    return MetadataCondition.model_construct(name=str(name), comparison_operator=word, value=sent)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
