"""Directives, which make a query say what its answer shall be; `dify_local` lists them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from dify_local._answers.reply import (
    Attachment,
    Failure,
    Pause,
    Replacement,
    Reply,
    Silence,
    Step,
    play,
    tokens,
)

_NAMES = "echo|tokens|json|think|slow|hang|fail|replace|files|tts|pause"
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
    """Return the reply that a directive asks for."""
    reply = Reply(play(_STEPS[name](argument)))
    reply.speech = name == "tts"
    return reply


def _first_line(argument: str) -> str:
    return argument.partition("\n")[0].strip()


def _echo(argument: str) -> list[Step]:
    return [*tokens(argument)]


def _tokens(argument: str) -> list[Step]:
    count, size = _numbers(argument, 10, 5)
    return _some_tokens(int(count), int(size))


def _numbers(argument: str, *defaults: float) -> list[float]:
    given = [float(number) for number in _first_line(argument).split()]
    return given + list(defaults[len(given) :])


def _some_tokens(count: int, size: int = 5) -> list[Step]:
    return [f"t{index}".ljust(size - 1, "x")[: size - 1] + " " for index in range(count)]


def _json(argument: str) -> list[Step]:
    try:
        _, end = json.JSONDecoder().raw_decode(argument)
    except ValueError:
        end = len(argument)
    return [*tokens(argument[:end])]


def _think(argument: str) -> list[Step]:
    return [*tokens(f"<think>\n{argument}\n</think>\n\nI have thought about it.")]


def _slow(argument: str) -> list[Step]:
    seconds, count = _numbers(argument, 1, 0)
    return [*_some_tokens(int(count)), Silence(seconds), *tokens("Sorry for the delay.")]


def _hang(argument: str) -> list[Step]:
    (count,) = _numbers(argument, 0)
    return [*_some_tokens(int(count)), Silence(math.inf, pings=False)]


def _fail(argument: str) -> list[Step]:
    if argument.startswith("now"):
        return [_SERVER_DOWN]
    failure = _RATE_LIMIT if argument.startswith("rate") else _SERVER_DOWN
    return ["one ", "two ", "three ", failure]


def _replace(argument: str) -> list[Step]:
    return [*tokens("Something that must not be said. "), Replacement(argument)]


def _files(argument: str) -> list[Step]:
    content = b"A file made by the local server.\n"
    return [*tokens("Here is your file."), Attachment("answer.txt", "text/plain", content)]


def _tts(argument: str) -> list[Step]:
    return [*tokens(argument or "This answer is read aloud.")]


def _pause(argument: str) -> list[Step]:
    return [*tokens(argument or "Please review this draft. "), Pause()]


_STEPS: dict[str, Callable[[str], list[Step]]] = {
    "echo": _echo,
    "tokens": _tokens,
    "json": _json,
    "think": _think,
    "slow": _slow,
    "hang": _hang,
    "fail": _fail,
    "replace": _replace,
    "files": _files,
    "tts": _tts,
    "pause": _pause,
}
