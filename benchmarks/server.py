"""The server that all contenders read from: one process, loopback, bytes made beforehand.

It speaks Dify's chat messages and OpenAI's chat completions. What it sends is in the URL, so that
every client can be given it as its base URL::

    http://127.0.0.1:PORT/{tokens}/{delivery}/v1/chat-messages
    http://127.0.0.1:PORT/{tokens}/{delivery}/v1/chat/completions
    http://127.0.0.1:PORT/{tokens}/{delivery}/v1/datasets/{id}/retrieve

Deliveries: `event` writes each event as an HTTP chunk of its own and waits until the socket has
taken it; `coalesced` sends HTTP chunks of 4 KiB that end anywhere, as a buffering proxy does;
`letters` sends an event for each character of the text, in HTTP chunks of 64 KiB;
`every-N` writes an event every N milliseconds; `hold` sends three events and then nothing.

`GET /requests` tells how many requests there were, that one not counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import lru_cache

from benchmarks import answers

_PIECES = {"coalesced": 4096, "letters": 65536}
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n"
_STREAM_HEAD = _HEAD % b"text/event-stream; charset=utf-8" + b"transfer-encoding: chunked\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Server(asyncio.Protocol):
    """One connection. Requests come one after the other, as HTTP/1.1 clients send them."""

    requests = 0

    def __init__(self) -> None:
        self._received = b""
        self._writable = asyncio.Event()
        self._writable.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)  # `drain` waits for the socket
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._writable.set()
        if self._sending:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received = b""
        path = head.split(b" ", 2)[1].decode()
        self._answer(path, body)

    def _answer(self, path: str, body: bytes) -> None:
        if path == "/requests":
            self._transport.write(_reply(str(Server.requests).encode()))
            return
        Server.requests += 1
        _, count, delivery, _, *endpoint = path.split("/")
        kind = "openai" if endpoint == ["chat", "completions"] else "dify"
        if endpoint[-1] == "retrieve":
            self._transport.write(_reply(answers.retrieved(int(count))))
        elif endpoint[-1] == "stop":
            self._transport.write(_reply(b'{"result":"success"}'))
        elif not _wants_stream(body):
            self._transport.write(_whole(kind, int(count)))
        else:
            self._sending = asyncio.ensure_future(self._send(kind, int(count), delivery))

    async def _send(self, kind: str, count: int, delivery: str) -> None:
        chunks = _chunks(kind, count, delivery if delivery in _PIECES else "event")
        interval = int(delivery[6:]) / 1000 if delivery.startswith("every-") else 0.0
        write, writable = self._transport.write, self._writable
        write(_STREAM_HEAD)
        if delivery == "hold":
            write(b"".join(chunks[:3]))
            return
        clock = asyncio.get_running_loop().time
        due = clock()
        for chunk in chunks:
            write(chunk)
            if not writable.is_set():
                await writable.wait()
            if interval:
                due += interval
                await asyncio.sleep(due - clock())
        write(_LAST_CHUNK)


@lru_cache(maxsize=32)
def _chunks(kind: str, count: int, delivery: str) -> list[bytes]:
    if kind == "openai":
        events = answers.openai_events(count)
    else:
        events = answers.dify_events(count, by_letter=delivery == "letters")
    if size := _PIECES.get(delivery):
        body = b"".join(events)
        events = [body[at : at + size] for at in range(0, len(body), size)]
    return [b"%x\r\n%s\r\n" % (len(event), event) for event in events]


@lru_cache(maxsize=32)
def _whole(kind: str, count: int) -> bytes:
    return _reply(answers.openai_reply(count) if kind == "openai" else answers.dify_reply(count))


def _reply(body: bytes) -> bytes:
    return _HEAD % b"application/json" + b"content-length: %d\r\n\r\n%s" % (len(body), body)


def _wants_stream(body: bytes) -> bool:
    request = json.loads(body)
    return request.get("stream") is True or request.get("response_mode") == "streaming"


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def serve() -> None:
    """Say the port on stdout, then serve until stdin is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
