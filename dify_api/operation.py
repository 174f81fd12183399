"""An operation: one call of the Service API as a value, without I/O."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from urllib.parse import quote

T_co = TypeVar("T_co", covariant=True)

Query = Mapping[str, str | int | bool | Sequence[str] | None]


@dataclass(frozen=True)
class FilePart:
    """The file of a multipart request, sent piece by piece as it is read.

    Attributes:
        name: File name as the server shall know it.
        content: Bytes, a path that is opened for each request, or an open binary file, which
            each request reads from its beginning.
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
        headers: Headers of this call, beside those of every call.
        user: The end user in whose name it is made; None for calls that have none.
        conversation_id: The conversation that it is a turn of, or lists; None for a new one
            and for calls that name it in their path.
        enveloped: Whether the reply holds the result in its `data`.
        repeatable: Whether repeating the call changes nothing, so that it may be retried.
        generates: Whether the reply is an answer, streamed or not.
        stops: The task that the call stops; None for any other call.
        stop_path: Path that stops the generation, with "{task_id}" in it; None if leaving
            the stream leaves nothing behind.
        delete_path: Path that deletes the answer's conversation, with "{conversation_id}" in
            it, called once the stream is left; None to keep it.
        page: How further pages are asked for: "first_id", "last_id" or "page"; None for
            calls that are no lists.
        older: The same call as older servers know it, tried where a server does not know this
            one; None where it never differed. `or_older` sets it.
    """

    method: str
    path: str
    result: type[T_co]
    query: Query = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: FilePart | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str | None = field(default=None, repr=False)
    conversation_id: str | None = None
    enveloped: bool = False
    repeatable: bool = False
    generates: bool = False
    stops: str | None = None
    stop_path: str | None = None
    delete_path: str | None = None
    page: str | None = None
    older: Operation[T_co] | None = None

    @property
    def name(self) -> str:
        """Method and path, as errors show them."""
        return f"{self.method} {self.path}"

    def as_sent(self) -> Operation[T_co]:
        """The same with `user` and `conversation_id` in the form, the JSON body or the query."""
        if self.form is not None:
            return replace(self, form={**self.form, **self.identity})
        if self.json is not None:
            return replace(self, json={**self.json, **self.identity})
        return replace(self, query={**self.query, **self.identity})

    @property
    def identity(self) -> dict[str, str]:
        """`user` and `conversation_id`, as far as the call names them."""
        return without_none({"user": self.user, "conversation_id": self.conversation_id})

    def traced(
        self, trace_id: str | None = None, trace_session_id: str | None = None
    ) -> Operation[T_co]:
        """The same as a part of the caller's trace: Dify's own trace of the run joins it.

        Args:
            trace_id: Your trace id, letters, digits, "_" and "-" (servers since 1.7.0).
            trace_session_id: The session that it belongs to, 1 to 200 characters (servers since
                1.16.0; others ignore it).

        Raises:
            ValueError: If `trace_session_id` is blank, too long, or cannot be sent in a header.
        """
        operation = self
        if trace_id is not None and self.json is not None:
            operation = replace(operation, json={**self.json, "trace_id": trace_id})
        if trace_session_id is not None:
            session = {"X-Trace-Session-Id": _trace_session(trace_session_id)}
            operation = replace(operation, headers={**self.headers, **session})
        return operation

    def or_older(self, *, method: str | None = None, path: str | None = None) -> Operation[T_co]:
        """The same call, with one more way that older servers know, tried last.

        Args:
            method: Their method. Default: this one.
            path: Their path. Default: this one.
        """
        if self.older is not None:
            return replace(self, older=self.older.or_older(method=method, path=path))
        return replace(
            self, older=replace(self, method=method or self.method, path=path or self.path)
        )

    def opened(self) -> contextlib.AbstractContextManager[Operation[T_co]]:
        """The same with the file of a path open, which is closed at the end of the block.

        Raises:
            OSError: If it cannot be opened.
        """
        if self.file is None or not isinstance(self.file.content, Path):
            return contextlib.nullcontext(self)
        return self._with_open(self.file, self.file.content)

    @contextlib.contextmanager
    def _with_open(self, part: FilePart, path: Path) -> Iterator[Operation[T_co]]:
        with path.open("rb") as file:
            yield replace(self, file=replace(part, content=file))


def require(value: str, name: str, what: str) -> str:
    """Return `value`, or raise a clear error where it is empty.

    Raises:
        ValueError: If it is empty or blank; the message names `name` and says what it is.
    """
    if not value or not value.strip():
        raise ValueError(f"{name} must not be empty: {what}")
    return value


def _trace_session(value: str) -> str:
    session = require_length(
        require(value, "trace_session_id", "name the session of the trace").strip(),
        "trace_session_id",
        200,
    )
    if not session.isascii() or not session.isprintable():
        raise ValueError("trace_session_id must be printable ASCII: it is sent in a header")
    return session


_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def is_uuid(value: str | None) -> bool:
    """Whether a value is a UUID, as the ids of Dify's are."""
    return _UUID.fullmatch(value or "") is not None


def require_length(value: str, name: str, longest: int) -> str:
    """Return `value`, or raise a clear error where it is longer than servers take.

    Raises:
        ValueError: If it has more than `longest` characters; the message names `name`.
    """
    if len(value) > longest:
        raise ValueError(f"{name} must have at most {longest} characters, not {len(value)}")
    return value


def require_uuid(value: str, name: str) -> str:
    """Return `value`, or raise a clear error where it is no UUID.

    Servers answer such ids with an HTML page, or with a 500.

    Raises:
        ValueError: If it is not a UUID in its usual form; the message names `name`.
    """
    if not is_uuid(value):
        raise ValueError(
            f'{name} must be a UUID such as "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10", not {value!r}'
        )
    return value


def require_uuids(values: Sequence[str], name: str) -> list[str]:
    """Return `values` as a list, or raise a clear error where there is none, or one is no UUID.

    Raises:
        ValueError: If it is empty, one string instead of a list, or holds what is no UUID.
    """
    if isinstance(values, str) or not values:
        raise ValueError(f"{name} must be a list with at least one id, not {values!r}")
    return [require_uuid(value, f"each of {name}") for value in values]


def require_some(fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the fields that are given, or raise a clear error where none is.

    Raises:
        ValueError: If all are None; the message says `what` and names the fields.
    """
    given = without_none(fields)
    if not given:
        raise ValueError(f"{what}: give at least one of {', '.join(fields)}")
    return given


def path(template: str, *parts: str) -> str:
    """The path with each "{}" of `template` filled by a quoted part.

    Raises:
        ValueError: If a part is empty, "." or "..", which would address another endpoint.
    """
    for part in parts:
        require(part, "the id", f"{template} needs one")
        if part in (".", ".."):
            raise ValueError(f"{part!r} is no id of {template}: it would address another endpoint")
    try:
        return template.format(*(quote(part, safe="") for part in parts))
    except UnicodeEncodeError:
        raise ValueError(f"an id of {template} holds half of a surrogate pair") from None


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}
