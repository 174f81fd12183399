"""The recorded generations, and a server that replays them one after the other."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count

from tests.support.cassettes import Exchange, all_exchanges
from tests.support.replay import Received, ReplayServer, Reply


def generations(path: str) -> list[Exchange]:
    """The recorded exchanges of `POST path`."""
    return [e for e in all_exchanges() if e.method == "POST" and e.path == path]


@contextmanager
def replayed(exchange: Exchange) -> Iterator[str]:
    """Base URL of a server that answers such calls with `exchange`, each time cut anew.

    It knows nothing of the runs and messages of these answers.
    """
    seeds = count(zlib.crc32(exchange.name.encode()))

    def reply(request: Received) -> Reply:
        if request.method != exchange.method:
            return Reply(404, {"content-type": "application/json"}, [b'{"code": "not_found"}'])
        seed = next(seeds)
        return exchange.reply(seed, _longest_piece(seed))

    server = _server()
    server.reply = reply
    yield server.base_url


def _longest_piece(seed: int) -> int:
    """Byte by byte, in parts of an event, or in several events at once.

    Small pieces are slow, hence rare; the decoder has its own property tests.
    """
    return random.Random(seed).choices([1, 40, 400, 4000], [1, 8, 60, 60])[0]


@cache
def _server() -> ReplayServer:
    """One for all tests of this process, whose connections are used again."""
    return ReplayServer(lambda _: Reply(500)).__enter__()
