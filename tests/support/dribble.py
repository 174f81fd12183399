"""A server that sends its replies a byte at a time, for ever within any read timeout."""

from __future__ import annotations

import contextlib
import socket
import threading


class Dribble:
    """Answers each connection by `at_once`, then by `slow`, a byte every 20 ms.

    A context manager that gives the base URL.
    """

    def __init__(self, slow: bytes, at_once: bytes = b"") -> None:
        self._slow = slow
        self._at_once = at_once
        self._first: list[bytes] = []
        self.connections = 0
        self._closing = threading.Event()

    def answer_first(self, reply: bytes) -> None:
        """Answer the next connection by this, and leave it open."""
        self._first.append(reply)

    def __enter__(self) -> str:
        self._closing.clear()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            if self._first:
                connection.sendall(self._first.pop())
                self._closing.wait(20)
                return
            connection.sendall(self._at_once)
            for place in range(len(self._slow)):
                connection.sendall(self._slow[place : place + 1])
                if self._closing.wait(0.02):
                    return
