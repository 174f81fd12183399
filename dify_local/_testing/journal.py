"""What tests ask a server about: requests, stops, disconnections. Safe from any thread."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from dify_local._protocol.values import JsonObject

_LONGEST = 10_000


@dataclass(frozen=True)
class RecordedFile:
    """A file of a multipart request.

    Attributes:
        name: Name of its field.
        filename: Its own name.
        content_type: Its media type.
        content: Its bytes.
    """

    name: str
    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass
class RecordedRequest:
    """A request as it arrived, and how it was answered.

    Attributes:
        method: HTTP method.
        path: Path, with `/v1`.
        query: Query parameters; the last value of each name.
        json: The JSON object of the body, or None where there was none.
        key: The API key that came with it.
        headers: Headers with names in lower case, without the key.
        form: The fields of a multipart body; None where there was none.
        files: The files of a multipart body.
        status: HTTP status of the answer; None until it begins.
        seconds: How long the whole answer took; None until it has ended.
    """

    method: str
    path: str
    query: dict[str, str]
    json: JsonObject | None
    key: str | None = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    form: dict[str, str] | None = None
    files: list[RecordedFile] = field(default_factory=list)
    status: int | None = None
    seconds: float | None = None


class Journal:
    """Keeps the newest ten thousand requests, and lets other threads wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: deque[RecordedRequest] = deque(maxlen=_LONGEST)
        self._stopped: list[str] = []
        self._disconnects: list[str] = []
        self._stops_seen = 0

    def add_request(self, request: RecordedRequest) -> None:
        """Note a request."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def add_stop(self, task_id: str) -> None:
        """Note that a stop endpoint was called."""
        with self._changed:
            self._stopped.append(task_id)
            self._changed.notify_all()

    def add_disconnect(self, task_id: str) -> None:
        """Note that a client left a stream before its end."""
        with self._changed:
            self._disconnects.append(task_id)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything noted so far."""
        with self._changed:
            self._requests.clear()
            self._stopped.clear()
            self._disconnects.clear()
            self._stops_seen = 0

    @property
    def requests(self) -> list[RecordedRequest]:
        """Return the requests in order of arrival."""
        with self._changed:
            return list(self._requests)

    @property
    def stopped(self) -> list[str]:
        """Return the task ids whose stop endpoint was called."""
        with self._changed:
            return list(self._stopped)

    @property
    def disconnects(self) -> list[str]:
        """Return the task ids whose client left early."""
        with self._changed:
            return list(self._disconnects)

    def wait_for_stop(self, timeout: float) -> str:
        """Wait for the next stop that no earlier call has returned.

        Raises:
            TimeoutError: No stop came in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._stopped) > self._stops_seen, timeout):
                raise TimeoutError(f"Nobody called a stop endpoint within {timeout} s")
            self._stops_seen += 1
            return self._stopped[self._stops_seen - 1]

    def wait_for_disconnect(self, timeout: float) -> str:
        """Wait until some client has left early, and return the task id of the newest.

        Raises:
            TimeoutError: Nobody left in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._disconnects), timeout):
                raise TimeoutError(f"No client left a stream within {timeout} s")
            return self._disconnects[-1]

    def wait_for_requests(
        self, count: int, *, path: str | None, timeout: float
    ) -> list[RecordedRequest]:
        """Wait until so many requests have come, and return those.

        Raises:
            TimeoutError: Fewer came in time.
        """

        def matching() -> list[RecordedRequest]:
            return [request for request in self._requests if path is None or path in request.path]

        with self._changed:
            if not self._changed.wait_for(lambda: len(matching()) >= count, timeout):
                raise TimeoutError(
                    f"{len(matching())} of {count} requests to {path or 'any path'} "
                    f"within {timeout} s"
                )
            return matching()
