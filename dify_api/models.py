"""Building blocks of every result: tolerant models, timestamps, prices, decoding.

Servers of four years answer here. Each model therefore has a default for every field, keeps
unknown fields, and `decode` replaces what does not fit by that default instead of failing.
"""

from __future__ import annotations

import email.utils
import json
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter
from pydantic import ValidationError as _ValidationError

T = TypeVar("T")


class Model(BaseModel):
    """A record of Dify's: read-only by convention, unknown fields kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _from_rfc_822(value: object) -> object:
    """Run details of 1.1.x and before send dates as "Fri, 21 Nov 2026 12:00:00 GMT"."""
    if isinstance(value, str) and "," in value:
        try:
            return email.utils.parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return value
    return value


Moment = Annotated[datetime, AfterValidator(_aware)]
"""An aware datetime from epoch seconds, epoch milliseconds or ISO text."""

Timestamp = Annotated[Moment, BeforeValidator(_from_rfc_822)]
"""`Moment`, and RFC 822 text besides."""


def from_json_text(value: object) -> object:
    """Run details keep `inputs` and `outputs` as JSON inside a string (1.12.1 and before)."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


JSONObject = Annotated[dict[str, Any], BeforeValidator(from_json_text)]
"""An object, sent as such or as JSON text."""


def _none_to_list(value: object) -> object:
    return [] if value is None else value


Items = Annotated[list[T], BeforeValidator(_none_to_list)]
"""A list; null is an empty one."""


def out_of_envelope(value: object) -> object:
    """A record that a server sent as `{"data": record, ...}`, with what stood beside it."""
    if isinstance(value, dict) and isinstance(record := value.get("data"), dict):
        return {**{name: part for name, part in value.items() if name != "data"}, **record}
    return value


class Usage(Model):
    """Tokens and price of an answer (`metadata.usage`). Prices are exact decimals."""

    prompt_tokens: int = 0
    prompt_unit_price: Decimal | None = None
    prompt_price_unit: Decimal | None = None
    prompt_price: Decimal | None = None
    completion_tokens: int = 0
    completion_unit_price: Decimal | None = None
    completion_price_unit: Decimal | None = None
    completion_price: Decimal | None = None
    total_tokens: int = 0
    total_price: Decimal | None = None
    currency: str | None = None
    latency: float | None = None
    """Seconds."""
    time_to_first_token: float | None = None
    """Seconds; 1.10.0 and later."""
    time_to_generate: float | None = None
    """Seconds; 1.10.0 and later."""

    def model_post_init(self, _context: Any, /) -> None:
        """Agent apps of 0.15.3 send a total of 0 beside parts that are not."""
        if not self.total_tokens:
            self.total_tokens = self.prompt_tokens + self.completion_tokens


class RetrieverResource(Model):
    """A passage that the answer was drawn from (`metadata.retriever_resources[]`)."""

    position: int | None = None
    """Place in the list of citations, from 1."""
    dataset_id: str | None = None
    dataset_name: str | None = None
    document_id: str | None = None
    document_name: str | None = None
    data_source_type: str | None = None
    segment_id: str | None = None
    """Absent for external knowledge bases."""
    retriever_from: str | None = None
    score: float | None = None
    """Relevance, higher is better; null for keyword search."""
    content: str = ""
    hit_count: int | None = None
    word_count: int | None = None
    segment_position: int | None = None
    index_node_hash: str | None = None
    page: int | None = None
    doc_metadata: dict[str, Any] | None = None
    title: str | None = None
    files: list[dict[str, Any]] | None = None
    summary: str | None = None

    @property
    def identity(self) -> str:
        """The segment's id; where there is none, a UUID made from the passage itself."""
        if self.segment_id:
            return self.segment_id
        source = self.document_id or self.document_name or self.title
        names = [self.dataset_id or "", source or "", self.content]
        return str(uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(names)))


class AnswerFile(Model):
    """A file of an answer: made by a tool, or attached to the message."""

    id: str | None = None
    type: str | None = None
    """image, document, audio, video or custom."""
    url: str | None = None
    """Signed and short-lived; may be relative to the server's root."""
    remote_url: str | None = None
    filename: str | None = None
    extension: str | None = None
    mime_type: str | None = None
    size: int | None = None
    transfer_method: str | None = None
    belongs_to: str | None = None
    """"user" or "assistant"."""
    related_id: str | None = None
    upload_file_id: str | None = None


RecordT = TypeVar("RecordT", bound=Model)
_new, _set = object.__new__, object.__setattr__


def unchecked(kind: type[RecordT], fields: dict[str, Any]) -> RecordT:
    """A record of values that were checked before; `model_construct` takes longer than checks.

    Args:
        kind: The record's class.
        fields: The values of all its fields, in a dict that becomes the record's own.
    """
    record = _new(kind)
    _set(record, "__dict__", fields)
    _set(record, "__pydantic_fields_set__", set(fields))
    _set(record, "__pydantic_extra__", {})
    _set(record, "__pydantic_private__", None)
    return record


def as_json(
    model: BaseModel, *, exclude: set[str] | None = None, exclude_none: bool = False
) -> dict[str, Any]:
    """A record as plain JSON values.

    Args:
        model: The record.
        exclude: Fields to leave out.
        exclude_none: Whether to leave out what is None.
    """
    try:
        return model.model_dump(mode="json", exclude=exclude, exclude_none=exclude_none)
    except ValueError:  # pydantic writes 255 levels; the outputs of a workflow may have more
        plain = model.model_dump(exclude=exclude, exclude_none=exclude_none)
        written: dict[str, Any] = json.loads(json.dumps(plain, default=_as_text))
        return written


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@lru_cache(maxsize=256)
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def decode(kind: type[T], value: object) -> T:
    """Read a parsed JSON value as `kind`; what does not fit is dropped, never raised.

    Args:
        kind: A model, or any type pydantic knows (`list[Model]`, `dict`, `str`).
        value: What the JSON parser returned.

    Returns:
        The value as `kind`, each misfit replaced by its field's default.

    Raises:
        ValueError: If nothing of the value can be read as `kind`.
    """
    adapter = _adapter(cast("Any", kind))
    for _ in range(20):  # a wrong part may hide another behind it
        try:
            return cast("T", adapter.validate_python(value))
        except _ValidationError as error:
            value = _without(value, [issue["loc"] for issue in error.errors(include_url=False)])
    return cast("T", adapter.validate_python(value))


def _without(value: object, places: list[tuple[int | str, ...]]) -> object:
    """A copy of `value` without the parts at `places`."""
    copied = json.loads(json.dumps(value, default=str))
    # Later list items first, so that the places of earlier ones stay right.
    for place in sorted(places, key=_order, reverse=True):
        _remove(copied, place)
    return copied


def _order(place: tuple[int | str, ...]) -> list[tuple[int, int, str]]:
    return [(0, step, "") if isinstance(step, int) else (1, 0, step) for step in place]


def _remove(value: Any, place: tuple[Any, ...]) -> None:
    """Remove the deepest part of `place` that exists; pydantic's union tags are no parts."""
    holder: Any = None
    last: Any = None
    for step in place:
        if isinstance(step, int) and isinstance(value, list):
            exists = step < len(value)
        else:
            exists = isinstance(value, dict) and step in value
        if exists:
            holder, last, value = value, step, value[step]
    if holder is not None:
        del holder[last]
