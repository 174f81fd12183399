"""Ends blocking reads when their time has come.

One thread watches them all, and only while there is something to watch: a `threading.Timer`
for each answer would cost it 0.2 ms.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import socket
import threading
import time

import httpx


class Deadline:
    """Ends a blocking read of a response after some seconds, by shutting its socket.

    httpx fixes the read timeout when the request is made, and the server may keep the socket
    open for minutes after an answer's end (1.14.2).

    Args:
        response: Whose body is read.
    """

    def __init__(self, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        self._socket: socket.socket | None = stream.get_extra_info("socket") if stream else None
        self._at: float | None = None

    def set(self, seconds: float) -> None:
        """Let the reading end `seconds` from now."""
        if self._socket is not None:
            self._at = time.monotonic() + seconds
            _watch.add(self._at, self)

    def cancel(self) -> None:
        """Let the reading go on; the socket is not touched once this has returned."""
        if self._at is not None:
            with _watch.lock:
                self._at = self._socket = None

    def expire(self, at: float) -> None:
        """Shut the socket, unless the deadline was moved or cancelled meanwhile."""
        if self._at == at and self._socket is not None:
            with contextlib.suppress(OSError):
                # The plain socket's own: SSLSocket.shutdown would drop the TLS state of a read.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Watch:
    """The thread that waits for the next deadline."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self._order = itertools.count()  # of entries at the same moment
        self._entries: list[tuple[float, int, Deadline]] = []
        self._thread: threading.Thread | None = None

    def add(self, at: float, deadline: Deadline) -> None:
        """Expire `deadline` at a moment of `time.monotonic`."""
        with self.lock:
            heapq.heappush(self._entries, (at, next(self._order), deadline))
            if self._thread is None or not self._thread.is_alive():  # as after a fork
                self._thread = threading.Thread(
                    target=self._run, name="dify-deadlines", daemon=True
                )
                self._thread.start()
            elif self._entries[0][2] is deadline:
                self.lock.notify()

    def _run(self) -> None:
        with self.lock:
            while self._entries:
                at, _, deadline = self._entries[0]
                if (seconds := at - time.monotonic()) > 0:
                    self.lock.wait(seconds)
                else:
                    heapq.heappop(self._entries)
                    deadline.expire(at)
            self._thread = None


_watch = _Watch()
