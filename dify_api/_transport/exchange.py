"""One exchange over a connection of urllib3's; each of its steps knows how much time is left.

Sync code has no way to end a read that is under way. So the time that is left is asked for at
each read and write of the socket, and nothing is shut from outside.

No type of httpx's is known here: `urllib3_pool` translates.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from urllib3.connection import HTTPConnection

from dify_api._transport.exchange_steps import (
    BROKEN,
    ExchangeError,
    Step,
    Timeouts,
    failure_of,
    made,
    seconds_for,
)
from dify_api._transport.pieces import PIECE
from dify_api._transport.timed_reply import TimedReply


class Exchange:
    """A request and its reply.

    Args:
        connection: A connection that serves nobody else.
        release: Takes the connection back once it can serve again.
        timeouts: Limits of the steps.
    """

    def __init__(
        self,
        connection: HTTPConnection,
        release: Callable[[HTTPConnection], None],
        timeouts: Timeouts,
    ) -> None:
        self._connection = connection
        self._release = release
        self.timeouts = timeouts
        self._reply: http.client.HTTPResponse | None = None
        self._is_over = False
        self.awaits_reply = False
        """Whether the request may have been sent, and its reply has not come yet."""

    @property
    def reply(self) -> http.client.HTTPResponse:
        """The reply, once its head was waited for."""
        return cast("http.client.HTTPResponse", self._reply)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the reply, names in lower case; those of one name are one."""
        headers: dict[str, str] = {}
        for given, text in self.reply.headers.items():
            name = given.lower()
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        return headers

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the reply as they are."""
        items = self.reply.headers.items()
        return [(name.encode("latin-1"), text.encode("latin-1")) for name, text in items]

    def begin(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> None:
        """Send the request, and wait for the head of the reply.

        Whatever is raised, the exchange is the caller's to `close`, or to `wait` on for where that
        was an interruption and it `awaits_reply`.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: All of them; those that tell the length in lower case.
            body: The body, whole or in pieces; None for none.

        Raises:
            ExchangeError: If that fails.
        """
        connection = self._connection
        if connection.is_closed:
            self._await_replies("Connect")  # of a proxy
            connection.timeout = seconds_for(self.timeouts, "Connect")
            made("Connect", connection.connect)
        self._await_replies("Read")
        self.awaits_reply = True
        self._send(method, target, headers, body)
        self.wait()

    def wait(self) -> None:
        """Wait for the head of the reply, again if it was interrupted.

        Raises:
            ExchangeError: If there is none.
        """
        self._reply = made("Read", partial(_response_of, self._connection))
        self.awaits_reply = False

    def _await_replies(self, step: Step) -> None:
        replies = partial(TimedReply, timeouts=self.timeouts, step=step)
        self._connection.response_class = replies  # type: ignore[assignment]  # a factory will do

    def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> None:
        connection = self._connection
        if connection.sock is not None:
            connection.sock.settimeout(seconds_for(self.timeouts, "Write"))
        content: Any = body  # a file of http.client's is whatever can be read from
        if body is not None and _is_recorded(connection):
            content = body if isinstance(body, bytes) else b"".join(body)
        elif body is not None and (not isinstance(body, bytes) or len(body) > PIECE):
            pieces = _cut(body) if isinstance(body, bytes) else body
            length = headers.get("content-length")
            content = _TimedBody(pieces, int(length) if length else None, connection, self.timeouts)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, text in headers.items():
            connection.putheader(name, text)
        how = {"encode_chunked": True} if "transfer-encoding" in headers else {}
        try:
            if isinstance(content, bytes) and not _is_recorded(connection):
                made("Write", partial(_send_at_once, connection, content))
            else:
                made("Write", partial(connection.endheaders, content, **how))
        except ExchangeError as error:
            # A server may refuse a request before it has read it all, and say why.
            if error.kind != "WriteError" or connection.is_closed:
                raise

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the body as they come, not decoded.

        Raises:
            ExchangeError: If it breaks off.
        """
        read = self.reply.read1
        try:
            while piece := read(PIECE):
                yield piece
        except BROKEN as error:
            failure = failure_of("Read", error)
        else:
            self._finish()
            return
        raise failure

    def _finish(self) -> None:
        """Let the connection serve others, once the body has ended."""
        if self._is_over:
            return
        self._is_over = True
        self.reply.close()
        self._connection.response_class = http.client.HTTPResponse
        if getattr(self.reply, "has_more", False):  # of what nobody asked for
            self._connection.close()
        elif not self._connection.is_closed:  # as the server may have wanted it
            self._release(self._connection)

    def close(self) -> None:
        """End the exchange; a connection whose body is not at its end is closed."""
        self.awaits_reply = False
        if not self._is_over:
            self._is_over = True
            self._connection.close()
            self._connection.response_class = http.client.HTTPResponse
            if self._reply is not None:
                self._reply.close()


def _send_at_once(connection: HTTPConnection, body: bytes) -> None:
    """Send the head with the body: each write costs a tenth of a short call, and is a packet."""
    held: list[bytes] = []
    connection.send = held.append  # type: ignore[method-assign, assignment]  # for this moment
    try:
        connection.endheaders(body)
    finally:
        del connection.send
    connection.send(b"".join(held))


def _response_of(connection: HTTPConnection) -> http.client.HTTPResponse:
    """The reply as http.client reads it, without what urllib3's own adds to it."""
    if _is_recorded(connection):
        return cast("http.client.HTTPResponse", connection.getresponse())
    return http.client.HTTPConnection.getresponse(connection)


def _is_recorded(connection: HTTPConnection) -> bool:
    """Whether it is one of vcrpy's and the like: they want whole bodies, and make the replies."""
    return type(connection).__module__ != "urllib3.connection"


def _cut(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]


class _TimedBody:
    """A body in pieces, each of which is sent as long as there is time: a file to read from."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        length: int | None,
        connection: HTTPConnection,
        timeouts: Timeouts,
    ) -> None:
        self._pieces = filter(None, pieces)
        self._left = length
        self._connection = connection
        self._timeouts = timeouts

    def read(self, size: int = -1) -> bytes:
        """The next piece, of any size; all of them where no size is asked for.

        Raises:
            ExchangeError: If it cannot be read, or is not as long as the request says.
        """
        if size < 0:
            return b"".join(self._pieces)
        try:
            piece = next(self._pieces, b"")
        except OSError as error:  # of a file, and not of the connection
            raise ExchangeError("LocalProtocolError", str(error), error) from error
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0 or (self._left > 0 and not piece):
                raise ExchangeError("LocalProtocolError", "the file has changed while it was sent")
        if self._connection.sock is not None:
            self._connection.sock.settimeout(seconds_for(self._timeouts, "Write"))
        return piece
