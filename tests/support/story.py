"""A server that plays recorded exchanges as a story: each call has its replies, in order."""

from __future__ import annotations

from collections import defaultdict, deque
from urllib.parse import urlsplit

from tests.support.cassettes import Exchange, exchange
from tests.support.replay import Received, ReplayServer, Reply

JSON = {"content-type": "application/json"}
NOT_FOUND = Reply(404, JSON, [b'{"code": "not_found", "message": "Not found", "status": 404}'])


class Story(ReplayServer):
    """Replies to each method and path with the next of its replies; the last one stays.

    Args:
        chapters: Names of exchanges ("dify-RELEASE/NAME"), or exchanges and what is replied
            instead, such as a body that is cut off.
    """

    def __init__(self, *chapters: str | tuple[str, Reply]) -> None:
        super().__init__(self._reply)
        self._replies: defaultdict[tuple[str, str], deque[Reply]] = defaultdict(deque)
        for chapter in chapters:
            name, reply = chapter if isinstance(chapter, tuple) else (chapter, None)
            told = exchange(name)
            self._replies[told.method, told.path].append(reply or told.reply(longest=4000))

    def also(self, method: str, path: str, *replies: Reply) -> Story:
        """Reply so to a call whose place is not that of the recording."""
        self._replies[method, path].extend(replies)
        return self

    def _reply(self, request: Received) -> Reply:
        path = urlsplit(request.path).path.removeprefix("/v1")
        replies = self._replies[request.method, path]
        if not replies:
            return NOT_FOUND
        return replies.popleft() if len(replies) > 1 else replies[0]

    def calls(self) -> list[str]:
        """What was asked, in short: "GET events", "GET events?snapshot", "POST form", ..."""
        return [_short(request) for request in self.requests]


def _short(request: Received) -> str:
    url = urlsplit(request.path)
    words = {"/events": "events", "/form/": "form", "/run/": "detail", "/messages": "history"}
    what = next((word for part, word in words.items() if part in url.path), url.path)
    if request.method == "POST" and what in ("history", "detail"):
        what = url.path.removeprefix("/v1")
    flags = "?snapshot" if "include_state_snapshot=true" in url.query else ""
    return f"{request.method} {what}{flags}"


def cut(told: Exchange, events: int, ending: str = "cut") -> Reply:
    """The recorded stream, broken off after some of its events."""
    frames = told.body.split(b"\n\n")[:events]
    return Reply(told.status, told.headers, [frame + b"\n\n" for frame in frames], ending)
