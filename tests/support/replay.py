"""A real HTTP server on loopback that replays recorded replies, in pieces of any size.

It speaks HTTP/1.1 with chunked bodies on plain sockets, so that every boundary is the test's:
an event may arrive one byte at a time, three at once, or be cut off in the middle.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

Piece = bytes | Callable[[], None]


@dataclass
class Received:
    """A request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass
class Reply:
    """What the server sends.

    `pieces` are the chunks of the body. After them the body ends properly, unless `ending` is
    "cut" (the connection breaks) or "open" (it stays open, silent, until the client leaves).
    A callable piece is called in its turn, to wait for the test.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    ending: str = "end"


def in_pieces(body: bytes, seed: int, longest: int = 40) -> list[Piece]:
    """Cut a body into random pieces of 1 to `longest` bytes; `longest=1` is byte by byte."""
    chance = random.Random(seed)
    pieces: list[Piece] = []
    at = 0
    while at < len(body):
        size = chance.randint(1, longest)
        pieces.append(body[at : at + size])
        at += size
    return pieces


def through_proxy(base_url: str, password: str) -> str:
    """URL of a `ReplayServer` as the proxy on the way to itself, which takes any password."""
    return f"http://me:{password}@{base_url.removeprefix('http://').removesuffix('/v1')}"


class ReplayServer:
    """Answers each request by `reply(request)`; stop endpoints by success unless told else."""

    def __init__(
        self,
        reply: Callable[[Received], Reply],
        *,
        stops: bool = True,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.reply = reply
        self.stops = stops
        self.requests: list[Received] = []
        self.arrived = threading.Condition()
        self.disconnected = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self._tls = tls
        self.base_url = (
            f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        )
        self._connections: list[socket.socket] = []
        self._closing = False

    @property
    def stopped(self) -> list[str]:
        """Task ids of the stop requests so far."""
        return [r.path.split("/")[-2] for r in self.requests if r.path.endswith("/stop")]

    def wait_for_stop(self, timeout: float = 5.0) -> str:
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.stopped, timeout), "no stop request came"
        return self.stopped[0]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError):  # not a listener's right everywhere
            self._listener.shutdown(socket.SHUT_RDWR)  # else it accepts once more
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._connections.append(connection)
            for request in self._read_requests(connection):
                if self.stops and request.path.endswith("/stop"):
                    reply = Reply(
                        headers={"content-type": "application/json"},
                        pieces=[b'{"result": "success"}'],
                    )
                else:
                    reply = self.reply(request)
                # Registered only now, so that a waiting test finds the reply chosen.
                with self.arrived:
                    self.requests.append(request)
                    self.arrived.notify_all()
                if not self._send(connection, reply):
                    return
        except (OSError, ValueError):
            self.disconnected.set()

    def _read_requests(self, connection: socket.socket) -> Iterator[Received]:
        stream = connection.makefile("rb")
        while line := stream.readline():
            method, path, _ = line.decode().split(" ", 2)
            headers: dict[str, str] = {}
            while (header := stream.readline()) not in (b"\r\n", b""):
                name, _, value = header.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int(stream.readline(), 16):
                    body += stream.read(size)
                    stream.readline()
                stream.readline()
            else:
                body = stream.read(int(headers.get("content-length", 0)))
            yield Received(method, path, headers, body)
        self.disconnected.set()

    def _send(self, connection: socket.socket, reply: Reply) -> bool:
        """Send a reply; whether the connection can serve another request."""
        head = [f"HTTP/1.1 {reply.status} Replayed"]
        headers = {k: v for k, v in reply.headers.items() if k.lower() != "content-length"}
        bodiless = reply.status in (204, 304)
        if not bodiless:
            headers["transfer-encoding"] = "chunked"
        head += [f"{name}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1"))
        if bodiless:
            return True
        for piece in reply.pieces:
            if callable(piece):
                piece()
            elif piece:
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if reply.ending == "cut":
            connection.shutdown(socket.SHUT_RDWR)
            return False
        if reply.ending == "open":
            connection.recv(1)
            self.disconnected.set()
            return False
        connection.sendall(b"0\r\n\r\n")
        return True
