"""A server in a process of its own that echoes questions, with tails, cuts and pauses at random."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import uuid
from collections import Counter
from typing import Any

_SPAWN = multiprocessing.get_context("spawn")


class EchoServer:
    """A context manager; `base_url` is where it is, `overlaps` what was out of turn, once left."""

    def __enter__(self) -> EchoServer:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_main, args=(theirs,), daemon=True)
        self._process.start()
        self.base_url = f"http://127.0.0.1:{self._pipe.recv()}/v1"
        return self

    @property
    def overlaps(self) -> int:
        """How many turns came while another of their conversation was being answered."""
        self._pipe.send("overlaps")
        count: int = self._pipe.recv()
        return count

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
        self._pipe.close()


def _main(pipe: Any) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Any) -> None:
    running: Counter[str] = Counter()
    overlaps = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal overlaps
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(h.split(b":")[1]) for h in head.lower().split(b"\r\n")
                     if h.startswith(b"content-length")), 0,
                )  # fmt: skip
                body = json.loads(await reader.readexactly(length) or b"{}")
                if b"/stop " in head.split(b"\r\n", 1)[0]:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    continue
                if "query" not in body:  # an answer that was cut is looked for: none is kept here
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")
                    continue
                conversation = body.get("conversation_id") or str(uuid.uuid4())
                overlaps += running[conversation] > 0
                running[conversation] += 1
                try:
                    if not await _answer(writer, body["query"], conversation):
                        break
                finally:
                    running[conversation] -= 1
                    if not running[conversation]:
                        del running[conversation]
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    pipe.send(server.sockets[0].getsockname()[1])
    while await asyncio.to_thread(pipe.recv):
        pipe.send(overlaps)


async def _answer(writer: asyncio.StreamWriter, query: str, conversation: str) -> bool:
    """Echo a question; whether the connection lives on."""
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    ids = {"task_id": str(uuid.uuid4()), "message_id": str(uuid.uuid4())}
    ids["conversation_id"] = conversation
    cut = random.random() < 0.05 and not query.startswith("turn")
    half = len(query) // 2
    for text in (query[:half], query[half:]):
        _send(writer, {"event": "message", "answer": text, **ids})
        await writer.drain()
        await asyncio.sleep(random.random() / 50)
        if cut:
            return False
    _send(writer, {"event": "message_end", "metadata": {}, **ids})
    await writer.drain()
    if not query.startswith("turn"):
        await asyncio.sleep(random.random() / 10 if random.random() < 0.3 else 0)  # a tail
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _send(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    frame = b"data: " + json.dumps(event).encode() + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
