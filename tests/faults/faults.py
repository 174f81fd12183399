"""The faults, and what each comes to: one stated outcome and time limit for every caller."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from dify_api import errors
from tests.faults.callers import ALL_ASKS, Asks
from tests.faults.server import (
    CHUNKED,
    LAST_CHUNK,
    PASSAGES,
    PING,
    TEXT,
    End,
    Frames,
    Script,
    chunk,
    frame,
    frames,
    good,
    head,
    whole,
)

ANSWERS: tuple[Asks, ...] = ("message", "run")

PROMPT = 5.0
"""Seconds within which a case without limits of its own ends, on a busy machine."""
READ = httpx.Timeout(20.0, connect=5.0, read=0.5, pool=None)
PROGRESS = {"progress_timeout": 0.5}


@dataclass(frozen=True)
class Whole:
    """The answer, as it was sent."""

    text: str = TEXT

    def __str__(self) -> str:
        return (
            "the whole answer" if self.text == TEXT else f"the answer as sent: {self.text[:30]!r}"
        )


@dataclass(frozen=True)
class Fails:
    """A `DifyError`, with what there is of the answer."""

    kind: type[errors.DifyError]
    partial: str = ""

    def __str__(self) -> str:
        return f"`{self.kind.__name__}`" + (" with the partial answer" if self.partial else "")


Outcome = Whole | Fails


@dataclass(frozen=True)
class Fault:
    """A row of the matrix.

    Attributes:
        group: The kind of fault, as the docs list it.
        name: The fault.
        script: What the server does, for what is asked.
        outcome: What it comes to; a mapping where that differs by what is asked.
        asks: Whom it can happen to.
        options: Options of the caller that the fault is about.
        refuses: Whether the server turns the request away and generates nothing.
        limit: Seconds within which it is over.
        where: A place of its own: "refused", "name", "full", "untrusted", "plain".
        heavy: Only in the long run.
        clients_only: Only through the clients of dify_api.
    """

    group: str
    name: str
    script: Callable[[Asks], Script]
    outcome: Outcome | Mapping[Asks, Outcome]
    asks: tuple[Asks, ...] = ALL_ASKS
    options: Mapping[str, Any] = field(default_factory=dict)
    refuses: bool = False
    limit: float = PROMPT
    where: str = ""
    heavy: bool = False
    clients_only: bool = False  # dify_api's own

    def outcome_of(self, asks: Asks) -> Outcome:
        outcome = self.outcome
        return outcome if isinstance(outcome, Whole | Fails) else outcome[asks]


def _always(*script: Any) -> Callable[[Asks], Script]:
    return lambda _: script


def _stream(make: Callable[[Frames], Any]) -> Callable[[Asks], Script]:
    """A reply whose body is `make(frames)`: bytes, or a list of bytes and other steps."""

    def script(asks: Asks) -> Script:
        made = make(frames(asks))
        steps = [made] if isinstance(made, bytes) else made
        if isinstance(steps[-1], bytes):
            steps = [*steps, LAST_CHUNK]
        return [
            CHUNKED,
            *(
                chunk(step) if isinstance(step, bytes) and step != LAST_CHUNK else step
                for step in steps
            ),
        ]

    return script


_LOST = Fails(errors.ConnectionFailedError)
_LATE = Fails(errors.RequestTimeoutError)
_STRANGE = Fails(errors.UnexpectedReplyError)


def _broken(partial: str) -> Fails:
    return Fails(errors.StreamInterruptedError, partial)


def connections() -> Iterator[Fault]:
    """Faults before there is a reply."""
    yield Fault("connection", "none of these", good, Whole())
    yield Fault("connection", "refused", _always(), _LOST, where="refused")
    yield Fault(
        "connection", "the host has no address", _always(), _LOST, where="name", limit=15.0
    )  # the resolver's own limit
    yield Fault("connection", "TLS: certificate not trusted", good, _LOST, where="untrusted")
    yield Fault("connection", "TLS: the server speaks none", good, _LOST, where="plain")
    yield Fault(
        "connection",
        "not accepted in time",
        _always(),
        _LOST,
        where="full",
        options={"timeout": httpx.Timeout(5.0, connect=0.2, pool=None)},
    )
    yield Fault("connection", "reset after the request", _always(End.Reset), _LOST)
    yield Fault("connection", "closed after the request", _always(End.Cut), _LOST)
    yield Fault("connection", "no reply", _always(End.Hold), _LATE, options={"timeout": READ})
    yield Fault(
        "connection",
        "headers that dribble without end",
        _always(b"HTTP/1.1 200 OK\r\n", End.Dribble(b"x-more: " + b"x" * 10_000)),
        _LATE,
        options=PROGRESS,
    )
    for name, sent in {
        "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "half a status line": b"HTTP/1.1 20",
        "half a header": b"HTTP/1.1 200 OK\r\ncontent-ty",
        "a header without a colon": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "a header with a space in its name": b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "headers of 200 KB": b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n",
    }.items():
        yield Fault("connection", f"{name}, then closed", _always(sent, End.Cut), _LOST)


_CODES: dict[int, type[errors.DifyError]] = {
    400: errors.BadRequestError,
    401: errors.UnauthorizedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    405: errors.MethodNotAllowedError,
    406: errors.NotAcceptableError,
    409: errors.ConflictError,
    412: errors.PreconditionFailedError,
    413: errors.PayloadTooLargeError,
    415: errors.UnsupportedMediaTypeError,
    429: errors.RateLimitError,
}


def _of_status(status: int) -> Fails:
    if status < 400:
        return _STRANGE
    kind = _CODES.get(status, errors.ServerError if status >= 500 else errors.StatusError)
    return Fails(kind)


def statuses() -> Iterator[Fault]:
    """Every status of 300 and above that there is, each with and without `Retry-After`."""
    for status in [s.value for s in HTTPStatus if s >= 300] + [418, 499, 520, 530, 599]:
        for retry_after in (None, "0", "soon"):
            more = {"location": "/v2"} if status < 400 else {}
            if retry_after is not None:
                more["retry_after"] = retry_after
            name = f"{status}" + (f", Retry-After: {retry_after}" if retry_after else "")
            yield Fault(
                "status",
                name,
                _always(whole(b"" if status == 304 else b'{"message": "no"}', status, **more)),
                _of_status(status),
                refuses=status in (429,),
            )
    page = b"<html><head><title>Bad Gateway</title></head></html>"
    for status in (403, 404, 500, 502, 503, 504):
        yield Fault(
            "status",
            f"{status} with a page of HTML",
            _always(whole(page, status, "text/html")),
            _of_status(status),
        )
    busy = b'{"code": "invalid_param", "message": "Too many requests. Please try again later."}'
    yield Fault(
        "status",
        "400 invalid_param, too many requests",
        _always(whole(busy, 400)),
        Fails(errors.TooManyRequestsError),
        refuses=True,
    )
    for status, code in [(500, "internal_server_error"), (400, "completion_request_error")]:
        says_busy = json.dumps({"code": code, "message": "Too many requests at the provider"})
        yield Fault(
            "status",
            f"{status} {code} that says Too many requests",
            _always(whole(says_busy.encode(), status)),
            Fails(errors.InternalServerError if status == 500 else errors.ProviderError),
        )


def replies() -> Iterator[Fault]:
    """A status of 200 with something that is no answer."""
    page = b"<html><title>Sign in</title></html>"
    yield Fault("reply", "a page of HTML", _always(whole(page, 200, "text/html")), _STRANGE)
    yield Fault("reply", "a page of HTML as JSON", _always(whole(page)), _STRANGE)
    yield Fault("reply", "nothing", _always(whole(b"")), _STRANGE)
    yield Fault(
        "reply", "204", _always(b"HTTP/1.1 204 None\r\nconnection: close\r\n\r\n"), _STRANGE
    )
    for name, body in {
        "a list": b"[]",
        "a number": b"7",
        "null": b"null",
        "half of JSON": b'{"answer": "Sat',
        "JSON nested without end": b"[" * 100_000,
        "bytes that are no UTF-8": b'{"answer": "\xff\xfe"',
    }.items():
        yield Fault("reply", f"{name} as JSON", _always(whole(body)), _STRANGE)
    error = {"code": "app_unavailable", "message": "App unavailable", "status": 400}
    yield Fault(
        "reply",
        "the body of an error",
        _always(whole(json.dumps(error).encode())),
        Fails(errors.AppUnavailableError),
        asks=ANSWERS,
    )
    yield Fault(
        "reply",
        "a body that breaks off",
        _always(head(content_type="application/json", content_length="9999"), PASSAGES, End.Cut),
        _LOST,
        asks=("search",),
    )
    yield Fault(
        "reply",
        "a body that dribbles without end",
        _always(head(content_type="application/json"), End.Dribble(PASSAGES[:-1] + b" " * 9_999)),
        _LATE,
        asks=("search",),
        options=PROGRESS,
    )
    yield Fault(
        "reply",
        "compressed, though nobody asked",
        lambda asks: [
            whole(gzip.compress(PASSAGES), content_encoding="gzip")
            if asks == "search"
            else whole(
                gzip.compress(frames(asks).all), 200, "text/event-stream", content_encoding="gzip"
            )
        ],
        Whole(),
    )
    for kind in ("application/json", "text/plain", "application/octet-stream", ""):
        yield Fault(
            "reply",
            f"a stream under the content type {kind!r}, which stays open",
            lambda asks, kind=kind: [
                head(content_type=kind, transfer_encoding="chunked"),
                chunk(frames(asks).all),
                End.Hold,
            ],
            Whole(),
            asks=ANSWERS,
        )


def streams() -> Iterator[Fault]:
    """Faults inside a stream."""
    first = "Saturn "

    def fault(name: str, make: Callable[[Frames], Any], outcome: Any, **more: Any) -> Fault:
        return Fault("stream", name, _stream(make), outcome, ANSWERS, **more)

    for ending, step in {"ended": b"", "closed": End.Cut, "reset": End.Reset}.items():
        yield fault(
            f"{ending} before the first event",
            lambda f, s=step: [s] if s else b": \n\n",
            _broken(""),
        )
        yield fault(
            f"{ending} after a part",
            lambda f, s=step: [f.begin + f.tokens[0], *([s] if s else [])],
            {"message": _broken(first), "run": _broken(first)},
        )
        yield fault(
            f"{ending} inside an event",
            lambda f, s=step: [f.begin + f.tokens[0] + f.tokens[1][:-9], *([s] if s else [])],
            _broken(first),
        )
        yield fault(
            f"{ending} after the last token",
            lambda f, s=step: [f.begin + b"".join(f.tokens), *([s] if s else [])],
            _broken(TEXT),
        )
        if ending != "ended":
            yield fault(f"{ending} after the end", lambda f, s=step: [f.all, s], Whole())
    yield fault("held open after the end", lambda f: [f.all, End.Hold], Whole())
    yield fault("byte by byte", lambda f: [bytes([b]) for b in f.all], Whole())
    yield fault(
        "pings only", lambda f: [End.Dribble(_pings(), again=True)], _broken(""), options=PROGRESS
    )
    yield fault("many pings, then the answer", lambda f: PING * 2_000 + f.all, Whole())
    yield fault(
        "an event that dribbles without end",
        lambda f: [f.begin + f.tokens[0], End.Dribble(chunk(b"x") * 3_000)],
        _broken(first),
        options=PROGRESS,
    )
    yield fault(
        "silence, longer than progress_timeout",
        lambda f: [f.begin + f.tokens[0], End.Hold],
        _broken(first),
        options=PROGRESS,
    )
    yield fault(
        "silence, longer than the read timeout",
        lambda f: [f.begin + f.tokens[0], End.Hold],
        _broken(first),
        options={"timeout": READ},
    )
    for name, torn in {
        "torn": b'data: {"event": "message", "answer": "has 2\n\n',
        "no UTF-8": b'data: {"event": "message", "answer": "\xff\xfe\n\n',
    }.items():
        yield fault(
            f"an event that cannot be read ({name})",
            lambda f, t=torn: f.begin + f.tokens[0] + t + f.tokens[2] + f.end,
            {"message": _broken("Saturn moons."), "run": Whole()},
        )
    for name, wrong in {"a number": 7, "an object": {"text": "x"}, "a list": ["x"]}.items():
        yield fault(
            f"an answer that is {name}",
            lambda f, w=wrong: f.begin + f.tokens[0] + f.token(w) + f.end,
            {"message": _broken(first), "run": Whole()},
        )
    yield Fault(
        "stream",
        "raw control characters in an event",
        _stream(lambda f: f.begin + f.token("a?b").replace(b"?", b"\x0b\t") + f.end),
        {"message": Whole("a\x0b\tb")},
        ("message",),
    )
    yield fault(
        "events that nobody knows",
        lambda f: f.begin + frame("news") + b"".join(f.tokens) + f.end,
        Whole(),
    )
    yield fault(
        "comments, fields and lines that mean nothing",
        lambda f: b": x\nretry: 5\nid: 7\nx\n\n" + f.all,
        Whole(),
    )
    yield fault("lines that end with CR LF", lambda f: f.all.replace(b"\n", b"\r\n"), Whole())
    yield fault("lines that end with CR", lambda f: f.all.replace(b"\n", b"\r"), Whole())
    yield fault("a byte order mark", lambda f: b"\xef\xbb\xbf" + f.all, Whole())
    yield fault("no blank line after the end", lambda f: f.all[:-2], Whole())
    for name, sent in {
        "a token twice": "Saturn Saturn has 274 moons.",
        "tokens in another order": "moons.has 274 Saturn ",
    }.items():
        order = (0, 0, 1, 2) if "twice" in name else (2, 1, 0)
        yield Fault(
            "stream",
            name,
            _stream(lambda f, o=order: f.begin + b"".join(f.tokens[i] for i in o) + f.end),
            Whole(sent),
            ("message",),
        )
    digits = b"9" * 5_000
    yield fault(
        "a number of 5,000 digits",
        lambda f: f.begin + b'data: {"event": "ping", "n": ' + digits + b"}\n\n" + f.all,
        Whole(),
    )
    yield fault("the end twice", lambda f: f.all + f.end, Whole())
    yield fault(
        "a token after the end",
        lambda f: f.all + f.tokens[0],
        {"message": Whole(TEXT + first), "run": Whole()},
    )
    yield fault("the first event missing", lambda f: b"".join(f.tokens) + f.end, Whole())
    yield fault(
        "the first event last but one", lambda f: b"".join(f.tokens) + f.begin + f.end, Whole()
    )
    for code, kind in [
        ("provider_quota_exceeded", errors.ProviderQuotaExceededError),
        ("of_a_newer_release", errors.BadRequestError),
    ]:
        yield Fault(
            "stream",
            f"an error event: {code}",
            _stream(
                lambda f, c=code: f.tokens[0] + frame("error", code=c, status=400, message="no")
            ),
            Fails(kind, first),
            ("message",),
        )
    yield Fault(
        "stream",
        "a run that fails",
        _stream(
            lambda f: (
                f.begin
                + f.tokens[0]
                + frame("workflow_finished", data={"status": "failed", "error": "no"})
            )
        ),
        Fails(errors.WorkflowFailedError, first),
        ("run",),
    )
    long = "x" * 1_000_000
    yield Fault(
        "stream",
        "a token of 1 MB",
        _stream(lambda f: f.begin + f.token(long) + f.end),
        Whole(long),
        ("message",),
    )
    huge = "x" * 20_000_000
    yield Fault(
        "stream",
        "a token of 20 MB",
        _stream(lambda f: f.begin + f.token(huge) + f.end),
        Whole(huge),
        ("message",),
        limit=60.0,
        heavy=True,
    )
    yield Fault(
        "stream",
        "5,000 tokens",
        _stream(lambda f: f.begin + f.token("x") * 5_000 + f.end),
        Whole("x" * 5_000),
        ("message",),
        limit=20.0,
    )

    yield Fault(
        "stream",
        "a million tokens",
        _stream(lambda f: [f.begin, *[f.token("x") * 10_000] * 100, f.end]),
        Whole("x" * 1_000_000),
        ("message",),
        limit=240.0,
        heavy=True,
        clients_only=True,
    )


def _pings() -> bytes:
    return chunk(PING)


FAULTS = [*connections(), *statuses(), *replies(), *streams()]
