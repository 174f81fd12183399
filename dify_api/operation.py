"""An operation: one call of the Service API as a value, without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from urllib.parse import quote

T_co = TypeVar("T_co", covariant=True)

Query = Mapping[str, str | int | bool | Sequence[str] | None]


@dataclass(frozen=True)
class FilePart:
    """The file of a multipart request.

    Attributes:
        name: File name as the server shall know it.
        content: Bytes, an open binary file, or a path that is read when the request is made.
        mime_type: Content type of the part.
    """

    name: str
    content: bytes | IO[bytes] | Path = field(repr=False)
    mime_type: str


@dataclass(frozen=True)
class Operation(Generic[T_co]):
    """A call of the Service API: `client.send(operation)` makes it and returns its result.

    Attributes:
        method: HTTP method.
        path: Path below the base URL, such as "/chat-messages".
        result: The type that the reply is read as: a model, `list`, `bytes` for a body that is
            no JSON, `NoneType` where the body says nothing, `Answer` for generations.
        query: Query parameters; None values are left out, each of a sequence is sent.
        json: JSON body; None for no body.
        form: Fields of a multipart form beside `file`.
        file: The file of a multipart form.
        user: The end user in whose name it is made; None for calls that have none.
        conversation_id: The conversation that it is a turn of, or lists; None for a new one
            and for calls that name it in their path.
        repeatable: Whether repeating the call changes nothing, so that it may be retried.
        generates: Whether the reply is an answer, streamed or not.
        stop_path: Path that stops the generation, with "{task_id}" in it; None if leaving
            the stream leaves nothing behind.
        page: How further pages are asked for: "first_id", "last_id" or "page"; None for
            calls that are no lists.
        older_method: The method that older servers want, tried where `method` is refused
            with 405; None where it never differed.
    """

    method: str
    path: str
    result: type[T_co]
    query: Query = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: FilePart | None = None
    user: str | None = field(default=None, repr=False)
    conversation_id: str | None = None
    repeatable: bool = False
    generates: bool = False
    stop_path: str | None = None
    page: str | None = None
    older_method: str | None = None

    @property
    def name(self) -> str:
        """Method and path, as errors show them."""
        return f"{self.method} {self.path}"

    def as_sent(self) -> Operation[T_co]:
        """The same with `user` and `conversation_id` in the form, the JSON body or the query."""
        names = without_none({"user": self.user, "conversation_id": self.conversation_id})
        if self.form is not None:
            return replace(self, form={**self.form, **names})
        if self.json is not None:
            return replace(self, json={**self.json, **names})
        return replace(self, query={**self.query, **names})

    def as_older(self) -> Operation[T_co]:
        """The same for an older server: by `older_method`."""
        return replace(self, method=self.older_method or self.method, older_method=None)


def require(value: str, name: str, what: str) -> str:
    """Return `value`, or raise a clear error where it is empty.

    Raises:
        ValueError: If it is empty or blank; the message names `name` and says what it is.
    """
    if not value or not value.strip():
        raise ValueError(f"{name} must not be empty: {what}")
    return value


_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def require_uuid(value: str, name: str) -> str:
    """Return `value`, or raise a clear error where it is no UUID.

    Servers answer such ids with an HTML page, or with a 500.

    Raises:
        ValueError: If it is not a UUID in its usual form; the message names `name`.
    """
    if not _UUID.fullmatch(value or ""):
        raise ValueError(
            f'{name} must be a UUID such as "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10", not {value!r}'
        )
    return value


def path(template: str, *parts: str) -> str:
    """The path with each "{}" of `template` filled by a quoted part.

    Raises:
        ValueError: If a part is empty, which would address another endpoint.
    """
    for part in parts:
        require(part, "the id", f"{template} needs one")
    return template.format(*(quote(part, safe="") for part in parts))


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}
