"""An HTTP client that dies at a request, as a process does that is killed."""

from __future__ import annotations

import httpx


class Killed(BaseException):
    """The process is no more: nothing catches this."""


class KilledAfter(httpx.HTTPTransport):
    """Dies when the server has done what the n-th request says, before its answer is read."""

    def __init__(self, requests: int) -> None:
        super().__init__(verify=False)  # else certificates are read, for plain HTTP
        self._left = requests

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= 1
        if self._left < 0:
            raise Killed
        response = super().handle_request(request)
        if self._left == 0:
            response.read()
            raise Killed
        return response
