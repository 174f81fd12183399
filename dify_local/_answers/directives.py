"""Directives, which make a query say what its answer shall be; `dify_local` lists them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator

from dify_local._answers.reply import (
    GRAPH_PARTS,
    Attachment,
    Failure,
    GraphPart,
    Pause,
    Replacement,
    Reply,
    Silence,
    Step,
    Thought,
    play,
    tokens,
)
from dify_local._protocol.errors import invalid_param

_TOO_LARGE = 1e7
_NAMES = "echo|tokens|json|think|reason|slow|hang|fail|replace|block|files|tts|pause|timeout|graph"
_AT_START = re.compile(rf"\s*/({_NAMES})\b[ \t]?(.*)", re.DOTALL)
_AT_LINE = re.compile(rf"^\s*(?:[\w ]{{1,20}}:\s*)?/({_NAMES})\b[ \t]?(.*)$", re.MULTILINE)

_SERVER_DOWN = Failure(
    "completion_request_error", 400, "[models] Server Unavailable Error, the model is down"
)
_RATE_LIMIT = Failure("rate_limit_error", 429, "[models] Rate Limit Error, too many requests")


def find_directive(query: str) -> tuple[str, str] | None:
    r"""Return the name and argument of the directive in a query, if there is one.

    Example:
        >>> find_directive("/echo Good morning")
        ('echo', 'Good morning')
        >>> find_directive("Human: Hi\nHuman: /tokens 3\nBe brief.")
        ('tokens', '3')
    """
    match = _AT_START.match(query)
    if match is None:
        *_, match = [None, *_AT_LINE.finditer(query)]
    return (match[1], match[2].strip()) if match else None


def obey(name: str, argument: str) -> Reply:
    """Return the reply that a directive asks for.

    Raises:
        ApiError: Its argument is no number where one is wanted.
    """
    reply = Reply(play(_STEPS[name](argument)))
    reply.speech = name == "tts"
    reply.preset = name == "block"
    reply.thinks = name == "reason"
    if name == "graph":
        reply.graph_parts = _graph_parts(argument)
    return reply


def _first_line(argument: str) -> str:
    return argument.partition("\n")[0].strip()


def _echo(argument: str) -> list[Step]:
    return [*tokens(argument)]


def _tokens(argument: str) -> Iterable[Step]:
    count, size = _numbers("/tokens N [SIZE]", argument, 10, 5)
    return _some_tokens(int(count), max(1, int(size)))


def _numbers(usage: str, argument: str, *defaults: float) -> list[float]:
    words = _first_line(argument).split()
    try:
        given = [float(word) for word in words]
    except ValueError:
        given = [-1]
    if not all(0 <= number < _TOO_LARGE for number in given) or len(given) > len(defaults):
        raise invalid_param(
            f"The directive is {usage}, with numbers from 0 to {_TOO_LARGE:.0f}: "
            f"{' '.join(words)[:80]!r} does not fit"
        )
    return given + list(defaults[len(given) :])


def _some_tokens(count: int, size: int = 5) -> Iterator[Step]:
    for index in range(count):
        yield f"t{index}".ljust(size - 1, "x")[: size - 1] + " "


def _json(argument: str) -> list[Step]:
    try:
        _, end = json.JSONDecoder().raw_decode(argument)
    except ValueError:
        end = len(argument)
    return [*tokens(argument[:end])]


def _think(argument: str) -> list[Step]:
    return [*tokens(f"<think>\n{argument}\n</think>\n\nI have thought about it.")]


def _reason(argument: str) -> list[Step]:
    thoughts = [Thought(token) for token in tokens(argument or "Let me see.")]
    return [*thoughts, *tokens("I have thought about it.")]


def _slow(argument: str) -> list[Step]:
    seconds, count = _numbers("/slow SECONDS [N]", argument, 1, 0)
    return [*_some_tokens(int(count)), Silence(seconds), *tokens("Sorry for the delay.")]


def _hang(argument: str) -> list[Step]:
    (count,) = _numbers("/hang [N]", argument, 0)
    return [*_some_tokens(int(count)), Silence(math.inf, pings=False)]


def _fail(argument: str) -> list[Step]:
    if argument.startswith("now"):
        return [_SERVER_DOWN]
    failure = _RATE_LIMIT if argument.startswith("rate") else _SERVER_DOWN
    return ["one ", "two ", "three ", failure]


def _replace(argument: str) -> list[Step]:
    return [*tokens("Something that must not be said. "), Replacement(argument)]


def _block(argument: str) -> list[Step]:
    return [*(argument or "I cannot talk about that.")]


def _files(argument: str) -> list[Step]:
    content = b"A file made by the local server.\n"
    return [*tokens("Here is your file."), Attachment("answer.txt", "text/plain", content)]


def _tts(argument: str) -> list[Step]:
    return [*tokens(argument or "This answer is read aloud.")]


def _pause(argument: str) -> list[Step]:
    return [*tokens(argument or "Please review this draft. "), Pause()]


def _timeout(argument: str) -> list[Step]:
    seconds, _, draft = argument.partition(" ")
    (lifetime,) = _numbers("/timeout SECONDS [TEXT]", seconds, 1)
    return [*tokens(draft or "Please review this draft. "), Pause(lifetime)]


def _graph(argument: str) -> list[Step]:
    return [*tokens("That is done.")]


def _graph_parts(argument: str) -> list[GraphPart]:
    parts: list[GraphPart] = []
    for word in _first_line(argument).split():
        if word in GRAPH_PARTS:
            parts.append(GraphPart(word, 2))
        elif parts and word.isdecimal() and 0 < int(word) <= _LARGEST_PART:
            parts[-1] = GraphPart(parts[-1].kind, int(word))
        else:
            raise invalid_param(
                f"The directive is /graph PART [N] ..., with parts out of "
                f"{', '.join(GRAPH_PARTS)} and N from 1 to {_LARGEST_PART}: {word[:80]!r} is none"
            )
    return parts


_LARGEST_PART = 1000

_STEPS: dict[str, Callable[[str], Iterable[Step]]] = {
    "echo": _echo,
    "tokens": _tokens,
    "json": _json,
    "think": _think,
    "reason": _reason,
    "slow": _slow,
    "hang": _hang,
    "fail": _fail,
    "replace": _replace,
    "block": _block,
    "files": _files,
    "tts": _tts,
    "pause": _pause,
    "timeout": _timeout,
    "graph": _graph,
}
