"""The replies of sync calls: each of their reads knows how much time is left."""

from __future__ import annotations

import http.client
import io
from typing import Any, cast

from urllib3.util.response import assert_header_parsing

from dify_api._transport.chunks import whole_chunks
from dify_api._transport.exchange_steps import Step, Timeouts, seconds_for


class TimedReply(http.client.HTTPResponse):
    """A reply whose every read knows how much time is left."""

    def __init__(
        self, sock: Any, *args: Any, timeouts: Timeouts, step: Step, **kwargs: Any
    ) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reads = _TimedReads(sock, self.fp.detach(), timeouts, step)
        self._buffer = self.fp = _Buffer(self._reads)

    def begin(self) -> None:
        """Read the head, after those that only say that it takes time (103).

        Raises:
            http.client.HTTPException: If it is only a part of one.
            urllib3.exceptions.HeaderParsingError: If a line of it is no header.
        """
        super().begin()
        while 100 < self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first head
            super().begin()
        assert_header_parsing(self.headers)
        if self._reads.have_ended:  # http.client takes that for the end of the headers
            raise http.client.HTTPException("the server closed the connection within the headers")

    @property
    def has_more(self) -> bool:
        """Whether the server has sent more than this reply, once that was read to its end."""
        return self._buffer.had_more

    def read1(self, n: int = -1) -> bytes:
        """The bytes that come next; b"" at the end.

        Raises:
            http.client.IncompleteRead: If the body ends before its length.
        """
        piece = super().read1(n)
        if not piece and self.length:
            raise http.client.IncompleteRead(b"", self.length)
        if piece and self.chunk_left == 0:
            more, taken = whole_chunks(self._buffer.come())
            self._buffer.read(taken)
            return piece + more
        return piece


class _Buffer(io.BufferedReader):
    had_more = False

    def come(self) -> bytes:
        """The bytes that have been read already."""
        reads = cast("_TimedReads", self.raw)
        reads.are_held = True
        try:
            return self.peek()
        finally:
            reads.are_held = False

    def close(self) -> None:
        if not self.closed:
            cast("_TimedReads", self.raw).are_over = True
            self.had_more = bool(self.peek())
        super().close()


class _TimedReads(io.RawIOBase):
    def __init__(self, sock: Any, raw: io.RawIOBase, timeouts: Timeouts, step: Step) -> None:
        self._sock = sock
        self._raw = raw
        self._timeouts = timeouts
        self._step: Step = step
        self._set: float | None = -1.0  # the timeout that the socket has
        self.have_ended = False
        """Whether the server has closed the connection, and all that it sent was read."""
        self.are_over = False
        """Whether nothing is to be read any more."""
        self.are_held = False
        """Whether nothing is to be read for now."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.are_over:
            return 0
        if self.are_held:
            return None
        seconds = seconds_for(self._timeouts, self._step)
        if seconds != self._set:
            self._sock.settimeout(seconds)
            self._set = seconds
        count = self._raw.readinto(buffer)
        self.have_ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
