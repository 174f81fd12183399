"""The recorded generations, and a server that replays one of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cassettes import Exchange, all_exchanges
from tests.support.replay import ReplayServer


def generations(path: str) -> list[Exchange]:
    """The recorded exchanges of `POST path`."""
    return [e for e in all_exchanges() if e.method == "POST" and e.path == path]


@contextmanager
def replayed(exchange: Exchange) -> Iterator[str]:
    """Base URL of a server that answers everything with `exchange`, in random pieces."""
    seed = zlib.crc32(exchange.name.encode())
    # Byte by byte for one in eight: it is slow, and the decoder has its own property test.
    longest = 1 if seed % 8 == 0 else 40
    with ReplayServer(lambda _: exchange.reply(seed, longest)) as server:
        yield server.base_url
