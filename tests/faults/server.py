"""A server on a raw socket that does, request by request, what a script says.

The first part of a request's path names its case, so that one server serves the whole matrix and
counts for each case what reached it: requests, generations, stops.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.callers import Asks

TEXT = "Saturn has 274 moons."
_TOKENS = ("Saturn ", "has 274 ", "moons.")
_LOOKS_FOR_ANSWER = re.compile(r"/v1/(workflow/|workflows/run/|messages\?)")
_TLS_HELLO = b"\x16"
PAUSE = 0.02  # seconds between the bytes of what dribbles


class End:
    """Other steps of a script than bytes."""

    class Cut:
        """Close the connection."""

    class Reset:
        """Reset the connection."""

    class Hold:
        """Send nothing more, until the client leaves."""

    class Wait:
        """Wait until the test releases the case."""

    @dataclass
    class Dribble:
        """Send bytes one by one, again and again until the client leaves if `again`."""

        content: bytes
        again: bool = False


Step = bytes | type[End.Cut] | type[End.Reset] | type[End.Hold] | type[End.Wait] | End.Dribble
Script = Sequence[Step]


def head(status: int = 200, content_type: str = "text/event-stream", **headers: str) -> bytes:
    """A reply's head; its body ends with the connection."""
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {content_type}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(
    body: bytes, status: int = 200, content_type: str = "application/json", **more: str
) -> bytes:
    """A whole reply of known length."""
    return head(status, content_type, content_length=str(len(body)), **more) + body


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


CHUNKED = head(transfer_encoding="chunked")
LAST_CHUNK = b"0\r\n\r\n"


def frame(event: str, **fields: Any) -> bytes:
    of_run = "workflow" in event or event == "text_chunk"
    ids = {"workflow_run_id": "r1"} if of_run else {"message_id": "m1", "conversation_id": "c1"}
    ids["task_id"] = "t1"
    return b"data: " + json.dumps({"event": event, **ids, **fields}).encode() + b"\n\n"


PING = b"event: ping\n\n"


@dataclass(frozen=True)
class Frames:
    """The frames of an answer that is as it should be."""

    begin: bytes
    tokens: tuple[bytes, ...]
    end: bytes

    @property
    def all(self) -> bytes:
        return self.begin + b"".join(self.tokens) + self.end

    def token(self, text: Any) -> bytes:
        return _token(self is RUN, text)


def _token(is_run: bool, text: Any) -> bytes:
    return frame("text_chunk", data={"text": text}) if is_run else frame("message", answer=text)


MESSAGE = Frames(
    begin=b": begins\n\n",
    tokens=tuple(_token(False, text) for text in _TOKENS),
    end=frame("message_end", metadata={"usage": {"total_tokens": 9}}),
)
RUN = Frames(
    begin=frame("workflow_started", data={"id": "r1"}),
    tokens=tuple(_token(True, text) for text in _TOKENS),
    end=frame("workflow_finished", data={"status": "succeeded", "outputs": {"text": TEXT}}),
)
PASSAGES = json.dumps(
    {
        "query": {"content": "moons"},
        "records": [{"segment": {"id": "s1", "content": TEXT, "document": {}}, "score": 0.9}],
    }
).encode()


def frames(asks: Asks) -> Frames:
    return RUN if asks == "run" else MESSAGE


def good(asks: Asks) -> Script:
    """The reply that is as it should be."""
    if asks == "search":
        return [whole(PASSAGES)]
    return [CHUNKED, chunk(frames(asks).all), LAST_CHUNK]


@dataclass
class Case:
    """What one case's requests meet, and what was seen of them."""

    script: Script
    stop: Script = (whole(b'{"result": "success"}'),)
    refuses: bool = False  # whether the script turns requests away before anything is generated
    requests: int = 0
    generations: int = 0
    stops: list[str] = field(default_factory=list)
    sent: threading.Event = field(default_factory=threading.Event)  # all but what holds on
    released: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)


class FaultServer:
    """A context manager; `url(name)` is the base URL of the case that `cases[name]` holds."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.cases: dict[str, Case] = {}
        self._lock = threading.Lock()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._open: set[socket.socket] = set()

    def url(self, case: str) -> str:
        port = self._listener.getsockname()[1]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}/{case}/v1"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            with contextlib.suppress(OSError, ValueError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                elif connection.recv(1, socket.MSG_PEEK) == _TLS_HELLO:
                    connection.sendall(whole(b"HTTP, please", 400, "text/plain"))
                    return
                for path in _read_requests(connection):
                    self._answer(connection, path)
        finally:
            self._open.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, path: str) -> None:
        case = self.cases[path.split("/")[1]]
        if path.partition("?")[0].endswith(
            "/parameters"
        ):  # what a workflow takes: of no matter here
            _play(connection, [whole(b'{"user_input_form": []}')], Case(()))
            return
        if _LOOKS_FOR_ANSWER.search(path):  # that broke off: nothing is kept here
            _play(connection, [whole(b'{"code": "not_found"}', 404)], Case(()))
            return
        if path.endswith("/stop"):
            case.stops.append(path.split("/")[-2])
            case.stopped.set()
            _play(connection, case.stop, Case(()))
            return
        with self._lock:
            case.requests += 1
            case.generations += not case.refuses and "/datasets/" not in path
        try:
            _play(connection, case.script, case)
        finally:
            case.sent.set()


def _read_requests(connection: socket.socket) -> Iterator[str]:
    with connection.makefile("rb") as stream:
        while line := stream.readline():
            length = 0
            while (header := stream.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            stream.read(length)
            yield line.split(b" ")[1].decode()


def _play(connection: socket.socket, script: Script, case: Case) -> None:
    for step in script:
        if isinstance(step, bytes):
            connection.sendall(step)
        elif isinstance(step, End.Dribble):
            case.sent.set()
            _dribble(connection, step)
        elif step is End.Wait:
            case.sent.set()
            case.released.wait(60)
        elif step is End.Hold:
            case.sent.set()
            connection.recv(1)
            raise OSError("left")
        else:
            if step is End.Reset:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.close()
            else:
                connection.shutdown(socket.SHUT_RDWR)
            raise OSError("ended")
    connection.shutdown(socket.SHUT_WR)


def _dribble(connection: socket.socket, step: End.Dribble) -> None:
    while True:
        for place in range(len(step.content)):
            connection.sendall(step.content[place : place + 1])
            time.sleep(PAUSE)
        if not step.again:
            return
