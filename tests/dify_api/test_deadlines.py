"""The watch over blocking reads: sockets are shut in time, and only those whose time came."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest

from dify_api._transport.deadlines import Deadline


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        yield ours, theirs


def deadline_of(ours: socket.socket) -> Deadline:
    stream = SimpleNamespace(get_extra_info=lambda name: ours if name == "socket" else None)
    return Deadline(httpx.Response(200, extensions={"network_stream": stream}))


def test_a_blocked_read_ends_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    started = time.monotonic()
    deadline_of(pair[0]).set(0.05)
    assert pair[0].recv(1) == b""
    assert 0.04 < time.monotonic() - started < 1


def test_an_earlier_deadline_does_not_wait_for_a_later_one(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    first, second = socket.socketpair()
    with first, second:
        later = deadline_of(first)
        later.set(30)
        deadline_of(pair[0]).set(0.05)
        assert pair[0].recv(1) == b""
        second.send(b"x")
        assert first.recv(1) == b"x"
        later.cancel()


def test_a_cancelled_or_moved_deadline_leaves_the_socket_alone(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    first, second = socket.socketpair()
    with first, second:
        cancelled, moved = deadline_of(pair[0]), deadline_of(first)
        cancelled.set(0.01)
        cancelled.cancel()
        moved.set(0.01)
        moved.set(0.1)
        assert first.recv(1) == b""  # when this one is shut, the others' time has passed
        pair[1].send(b"x")
        assert pair[0].recv(1) == b"x"


def test_many_deadlines_share_a_thread_that_ends_with_them() -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    for ours, _ in pairs:
        deadline_of(ours).set(0.05)
    watching = [t for t in threading.enumerate() if t.name == "dify-deadlines"]
    assert len(watching) == 1
    for ours, theirs in pairs:
        assert ours.recv(1) == b""
        ours.close()
        theirs.close()


def test_without_a_socket_nothing_happens() -> None:
    deadline = Deadline(httpx.Response(200))
    deadline.set(0)
    deadline.cancel()
    assert deadline._at is None
