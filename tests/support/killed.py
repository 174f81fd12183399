"""An HTTP client that dies at a request, as a process does that is killed."""

from __future__ import annotations

import httpx


class Killed(BaseException):
    """The process is no more: nothing catches this."""


class KilledAt(httpx.HTTPTransport):
    """Dies at the n-th request, before the server sees it or after it has done what it says."""

    def __init__(self, request: int, *, after: bool) -> None:
        super().__init__()
        self._left = request
        self._after = after

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._after):
            raise Killed
        response = super().handle_request(request)
        if self._left == 0:
            response.read()
            raise Killed
        return response
