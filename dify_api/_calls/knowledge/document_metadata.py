"""A source document's metadata as Dify's metadata fields, and back.

Dify has fields of texts, numbers and times, each of one type in a knowledge base. What a field
cannot hold as it is (lists, dicts, booleans, dates) is held as JSON text or a number, and one
further field, `metadata_forms`, tells how to read it. So metadata come back as they were given.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timezone
from typing import Any, Final, TypeVar

from dify_api.endpoints.metadata import MetadataType

ID_FIELD: Final = "external_id"
"""The id of the document in its source."""
HASH_FIELD: Final = "content_hash"
"""Tells whether the document has changed since."""
FORMS_FIELD: Final = "metadata_forms"
"""JSON: how to read the fields that hold something else than what was given."""
SEGMENTS_FIELD: Final = "segment_metadata"
"""JSON: a list of what is known of single segments, for which Dify has no fields."""

Value = str | int | float
T = TypeVar("T")

_BUILT_IN = ("document_name", "uploader", "upload_date", "last_update_date", "source")
"""Fields that servers fill themselves; they refuse others of these names."""
OWN_FIELDS: Final = (ID_FIELD, HASH_FIELD, FORMS_FIELD, SEGMENTS_FIELD)
_TAKEN_NAME = re.compile(f"(original_)*({'|'.join((*_BUILT_IN, *OWN_FIELDS))})")
_LONGEST_NAME = 255


def field_name(name: str) -> str:
    """The field that holds a value; another name where Dify or this package has taken it.

    Example:
        >>> field_name("year"), field_name("source")
        ('year', 'original_source')
    """
    return f"original_{name}" if _TAKEN_NAME.fullmatch(name) else name


def checked_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata, if their names can be those of fields.

    Raises:
        ValueError: If one is no text, empty or too long.
    """
    for name in metadata:
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME - 9:
            raise ValueError(
                f"metadata: {name!r} cannot be the name of a field; Dify takes texts of up to "
                f"{_LONGEST_NAME - 9} characters"
            )
    return metadata


def types_of(metadata: Mapping[str, Any]) -> dict[str, MetadataType]:
    """The fields that metadata want, by their names, with their types."""
    return {
        field_name(name): kind
        for name, value in metadata.items()
        if (kind := _natural_type(value)) is not None
    }


def as_fields(
    metadata: Mapping[str, Any],
    types: Mapping[str, str],
    segment_metadata: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Value]:
    """The values of fields that hold metadata.

    Args:
        metadata: The document's.
        types: The types of the knowledge base's fields, by name.
        segment_metadata: What is known of each of its segments besides.

    Example:
        >>> as_fields({"year": 1610, "moons": ["Io"]}, {"year": "number", "moons": "string"})
        {'year': 1610, 'moons': '["Io"]', 'metadata_forms': '{"moons": "json"}'}
    """
    values: dict[str, Value] = {}
    forms: dict[str, Any] = {}
    for name, value in metadata.items():
        held = _held(value, types.get(field_name(name)))
        if held is None:
            forms[name] = {"is": json.loads(_json(value))}
            continue
        values[field_name(name)], form = held
        if form:
            forms[name] = form
    if forms:
        values[FORMS_FIELD] = _json(forms)
    if any(segment_metadata):
        values[SEGMENTS_FIELD] = _json(segment_metadata)
    return values


def original_metadata(
    values: Mapping[str, Any], segment_position: int | None = None
) -> dict[str, Any] | None:
    """The metadata that a document was given; None for one that this package has not written.

    Args:
        values: Of its fields, by name, Dify's own among them.
        segment_position: Place of a segment in it, from 1, for what is known of that, too.
    """
    if not values.get(ID_FIELD):
        return None
    forms: dict[str, Any] = _parsed(values.get(FORMS_FIELD), dict)
    found: dict[str, Any] = {}
    for field, value in values.items():
        if field in _BUILT_IN or field in OWN_FIELDS or value is None:
            continue
        name = field.removeprefix("original_") if _TAKEN_NAME.fullmatch(field) else field
        found[name] = _read(value, forms.get(name))
    for name, form in forms.items():
        if isinstance(form, Mapping) and "is" in form:
            found[name] = form["is"]
    return {**found, **_of_segment(values.get(SEGMENTS_FIELD), segment_position)}


def values_of(fields: Iterable[Any]) -> dict[str, Any]:
    """Values by name, of a document's `doc_metadata`."""
    return {field.name: field.value for field in fields}


def _natural_type(value: object) -> MetadataType | None:
    if value is None:
        return None
    if isinstance(value, date):  # a datetime too
        return "time"
    return "number" if _is_number(value) else "string"


def _held(value: object, kind: str | None) -> tuple[Value, str | None] | None:
    """What a field of this type holds for a value, and its form; None where it cannot."""
    if kind is None or value is None:
        return None
    if isinstance(value, date):
        form = "datetime" if isinstance(value, datetime) else "date"
        return (value.isoformat() if kind == "string" else _seconds(value)), form
    if kind == "string":
        return (value, None) if isinstance(value, str) else (_json(value), "json")
    if isinstance(value, int | float) and _is_number(value):
        return value, None
    return None


def _read(value: Any, form: object) -> Any:
    try:
        if form == "json":
            return json.loads(value)
        if form == "datetime":
            return _moment(value)
        if form == "date":
            return _moment(value).date()
    except (TypeError, ValueError):  # changed by hand in Dify
        return value
    return value


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return datetime.fromtimestamp(value, timezone.utc)


def _seconds(value: date) -> int | float:
    moment = value if isinstance(value, datetime) else datetime.combine(value, time())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    seconds = moment.timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _of_segment(text: object, position: int | None) -> dict[str, Any]:
    known: list[Any] = _parsed(text, list)
    found = known[position - 1] if position and position <= len(known) else {}
    return found if isinstance(found, dict) else {}


def _parsed(text: object, kind: Callable[[], T]) -> T:
    """JSON text as a dict or list; an empty one for anything else."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return kind()
    return value if isinstance(value, type(kind())) else kind()
