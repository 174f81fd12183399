"""One exchange over a connection of aiohttp's, without its objects for requests and replies.

They are a third of a short call. And a request that was sent is not taken back by cancelling:
whoever waits for its reply may be cancelled, and somebody else wait on.
"""

from __future__ import annotations

import asyncio
import inspect
import select
from collections.abc import Mapping
from types import FunctionType
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage

LONGEST_HEADER = 65_536  # bytes; aiohttp's own 8190 are less than some proxies send


class Exchange:
    """A request and its reply.

    Args:
        connection: A connection that serves nobody else.
        silence: Seconds without a reply after which waiting fails; None for no limit.
    """

    __slots__ = ("_connection", "_content", "_protocol", "silence")

    def __init__(self, connection: Connection, silence: float | None) -> None:
        self._connection = connection
        self._protocol = cast("ResponseHandler", connection.protocol)
        self.silence = silence
        self._content: aiohttp.StreamReader | None = None  # once its head has come

    def send(self, request: bytes) -> None:
        """Send the request, head and body.

        Raises:
            aiohttp.ClientConnectionResetError: If the connection is gone.
        """
        transport = self._protocol.transport
        if transport is None:
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        self._protocol.set_response_params(
            read_until_eof=True,  # a body without a length
            auto_decompress=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        transport.write(request)

    async def wait(self) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Wait for the head of the reply, again if that was cancelled; the body follows.

        Raises:
            aiohttp.ClientError: If there is none.
            aiohttp.http.HttpProcessingError: If it is no HTTP.
        """
        timer = None
        if self.silence is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self.silence, self._fall_silent)
        try:
            head, content = await self._protocol.read()
            while 100 <= head.code < 200 and head.code != 101:  # those only say that it takes time
                head, content = await self._protocol.read()
        finally:
            if timer is not None:
                timer.cancel()
        self._content = content
        content.on_eof(self._connection.release)
        return head, content

    def _fall_silent(self) -> None:
        reason = f"nothing came for {self.silence:g} s"
        self._protocol.set_exception(aiohttp.SocketTimeoutError(reason))

    def close(self) -> None:
        """End the exchange; a connection whose body is not at its end is closed."""
        if self._content is not None and not self._content.is_eof():
            # Somebody may be waiting for more of it.
            self._content.set_exception(aiohttp.ClientConnectionError("Connection closed"))
        self._connection.close()


def request_bytes(
    method: str, target: str, headers: Mapping[str, str], content: bytes | None
) -> bytes:
    """A request as it is sent.

    Args:
        method: HTTP method.
        target: Path and query.
        headers: All of them; the one that tells the length may be missing.
        content: The body; None for none.

    Raises:
        ValueError: If a header holds the end of a line.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    if content is not None and "content-length" not in headers:
        lines.append(f"content-length: {len(content)}")
    head = "\r\n".join(lines)
    ends = len(lines) - 1
    if head.count("\r") != ends or head.count("\n") != ends or "\0" in head:
        raise ValueError("a header holds the end of a line, or a null character")
    return b"%b\r\n\r\n%b" % (head.encode(), content or b"")


def has_unread(connection: Connection) -> bool:
    """Whether something has come that the loop has not read: its end, most likely.

    The server closed the connection while the loop was kept from running.
    """
    transport = connection.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    file = -1 if sock is None else sock.fileno()
    if file < 0:
        return sock is not None
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([file], [], [], 0)[0])
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


def is_plain(session: aiohttp.ClientSession) -> bool:
    """Whether nobody records, traces or replaces what a session does.

    Then an exchange needs not go through the session. vcrpy and its like replace `_request`.
    """
    request = aiohttp.ClientSession._request
    return (
        _IS_KNOWN
        and not session.trace_configs
        and isinstance(request, FunctionType)
        and request.__code__.co_filename == aiohttp.client.__file__
    )


_PARAMETERS = {"read_until_eof", "auto_decompress", "max_line_size", "max_field_size"}
_IS_KNOWN = set(inspect.signature(ResponseHandler.set_response_params).parameters) >= _PARAMETERS
"""Whether this is an aiohttp whose connections can be used so; the session can always be."""
