"""The recorded generations, and a server that replays them one after the other."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count

from tests.support.cassettes import Exchange, all_exchanges
from tests.support.replay import Piece, Received, ReplayServer, Reply, in_pieces


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
        return Reply(exchange.status, exchange.headers, _pieces(exchange.body, seed))

    server = _server()
    server.reply = reply
    yield server.base_url


def _pieces(body: bytes, seed: int) -> list[Piece]:
    """A body in parts of an event, or in several events at once; in some, a stretch byte by byte.

    Small pieces are slow, hence rare; the decoder has its own property tests.
    """
    chance = random.Random(seed)
    longest = chance.choices([40, 400, 4000], [8, 60, 60])[0]
    begin = chance.randrange(len(body) + 1)
    end = begin + chance.choices([0, 200], [24, 1])[0]
    return [
        *in_pieces(body[:begin], seed, longest),
        *in_pieces(body[begin:end], seed, longest=1),
        *in_pieces(body[end:], seed, longest),
    ]


@cache
def _server() -> ReplayServer:
    """One for all tests of this process, whose connections are used again."""
    return ReplayServer(lambda _: Reply(500)).__enter__()
