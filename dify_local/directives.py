"""A small language for tests: a query that begins with one of these lines is obeyed, not answered.

    /echo TEXT          streams the text back word by word
    /tokens N [SIZE]    streams N tokens of SIZE characters each (5)
    /json JSON          streams the JSON text; anything after the JSON is ignored
    /think TEXT         streams `<think>TEXT</think>` and then a short answer
    /slow SECONDS [N]   streams N tokens (0), stays silent, with pings, and then answers
    /hang [N]           streams N tokens (0) and stays silent for ever, without pings
    /fail [WHEN]        fails: at once (`now`), after three tokens (`mid`, the default), or after
                        three tokens because of the provider's rate limit (`rate`); in a workflow
                        or chatflow the run then ends failed
    /replace TEXT       streams a text that moderation then replaces by TEXT
    /files              answers with a text file
    /tts                answers and reads the answer aloud
    /pause              waits for a person (chatflow and workflow; other modes just answer)

The directive may also stand at the beginning of a later line, after a label such as `Human:`, as it
does when a client writes a transcript into the query. Then the last one counts and its argument
ends with the line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable

from dify_local.answers import tokens
from dify_local.steps import (
    Attachment,
    Failure,
    Pause,
    Replacement,
    Reply,
    Silence,
    Step,
    play,
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
