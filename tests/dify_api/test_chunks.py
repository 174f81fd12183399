"""Chunks that have come whole are taken at once, and nothing else is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_api import DifyClient, chat
from dify_api._transport.chunks import whole_chunks

BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def chunk(data: bytes, *, more: bytes = b"") -> bytes:
    return b"%X%b\r\n%b\r\n" % (len(data), more, data)


@given(bodies=BODIES, cut=st.integers(min_value=0), extended=st.booleans())
def test_what_is_taken_is_whole(bodies: list[bytes], cut: int, extended: bool) -> None:
    more = b";name=value" if extended else b""
    sent = b"\r\n" + b"".join(chunk(body, more=more) for body in bodies) + b"0\r\n\r\n"
    come = sent[: cut % (len(sent) + 1)]
    data, taken = whole_chunks(come)
    whole = [n for n in range(len(bodies) + 1) if _length(bodies[:n], more) <= len(come)]
    assert data == b"".join(bodies[: max(whole, default=0)])
    assert taken == _length(bodies[: max(whole, default=0)], more)


def _length(bodies: list[bytes], more: bytes) -> int:
    """Of chunks from the end of the one before to the end of the last one's data."""
    return sum(len(chunk(body, more=more)) for body in bodies)


@pytest.mark.parametrize(
    "come",
    [b"", b"\r", b"\r\n", b"\r\n5", b"\r\nxyz\r\nab", b"\r\n-1\r\nab", b"4\r\nabcd", b"\r\n\r\n"],
)
def test_what_is_no_chunk_is_left_to_whom_reads_on(come: bytes) -> None:
    assert whole_chunks(come) == (b"", 0)


def _events() -> Iterator[bytes]:
    for number in range(200):
        yield b'data: {"event": "message", "answer": "%d ", "message_id": "m"}\n\n' % number
    yield b'data: {"event": "message_end", "message_id": "m"}\n\n'


@pytest.mark.parametrize("size", [7, 97, 1_000, 100_000], ids=lambda size: f"{size} at a time")
def test_a_stream_is_read_however_its_chunks_come(size: int) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    sent = head + b"".join(chunk(event) for event in _events()) + b"0\r\n\r\n"

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            for at in range(0, len(sent), size):
                connection.sendall(sent[at : at + size])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        client = DifyClient("app-x", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        with client.stream(chat.send_message("Count", user="ann")) as stream:
            texts = [text for _, text in stream.steps() if text]
    assert texts == [f"{number} " for number in range(200)]
