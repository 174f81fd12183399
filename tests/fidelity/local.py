"""A local server, spoken to as a person would who sets the scene for a recorded request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from dify_local import LocalDify
from tests.fidelity.recordings import events_of

Event = dict[str, Any]

NOBODY = "00000000-0000-0000-0000-000000000001"
PNG = ("a.png", b"\x89PNG", "image/png")
_FORM = {"action": "approve"}
_ANNOTATION_REPLY = {
    "score_threshold": 0.9,
    "embedding_provider_name": "p",
    "embedding_model_name": "m",
}
# The prefix of a recorded app's name, and the local app of its kind.
_APPS = (
    ("chat-inputs", "greeter"),
    ("chat-required", "greeter"),
    ("chatflow", "advanced-chat"),
    ("chat", "chat"),
    ("agent", "agent-chat"),
    ("new-agent", "agent"),
    ("completion", "completion"),
    ("workflow", "workflow"),
)


def local_app(recorded: str) -> str:
    """The local app that is of the same kind as a recorded one, or nothing."""
    return next((local for prefix, local in _APPS if recorded.startswith(prefix)), "")


def token_of(events: list[Event]) -> str:
    """The token of the form that a run has shown."""
    required = next(event for event in events if event["event"] == "human_input_required")
    return str(required["data"]["form_token"])


class Local:
    """One local server, and one connection to it."""

    def __init__(self, server: LocalDify) -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.base_url, timeout=20, verify=False)

    def close(self) -> None:
        self.client.close()

    def post(self, app: str, path: str, user: str = "", **body: Any) -> httpx.Response:
        return self.client.post(path, json={"user": user, **body}, headers=self._headers(app))

    def get(self, app: str, path: str, **query: str) -> Any:
        return self.client.get(path, params=query, headers=self._headers(app)).json()

    def _headers(self, app: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.server.keys[app]}"}

    def run(self, app: str, user: str, query: str, **more: Any) -> list[Event]:
        """The events of a generation."""
        return events_of(self.post(app, _path(app), user, **_body(app, query), **more).content)

    def leave(self, app: str, user: str, query: str) -> list[Event]:
        """Begin a generation and leave its stream once it has an id."""
        body = {"user": user, **_body(app, query)}
        request = self.client.build_request(
            "POST", _path(app), json=body, headers=self._headers(app)
        )
        read = self.follow(request, lambda events: len(events) > 2)
        return events_of(read[1])

    def follow(
        self, request: httpx.Request, done: Callable[[list[Event]], bool]
    ) -> tuple[httpx.Response, bytes]:
        """Read a stream, and leave it when `done` says so of the events so far."""
        response = self.client.send(request, stream=True)
        read = b""
        try:
            for piece in response.iter_raw():
                read += piece
                if done(events_of(read)):
                    break
        finally:
            response.close()
        return response, read

    def stop(self, app: str, user: str, task_id: str) -> None:
        paths = {"workflow": "/workflows/tasks", "completion": "/completion-messages"}
        self.post(app, f"{paths.get(app, '/chat-messages')}/{task_id}/stop", user)

    def submit(self, app: str, user: str, token: str, comment: str = "fine") -> None:
        self.post(app, f"/form/human_input/{token}", user, inputs={"comment": comment}, **_FORM)

    def upload(self, app: str, user: str, file: tuple[str, bytes, str] = PNG) -> Any:
        return self.client.post(
            "/files/upload", data={"user": user}, files={"file": file}, headers=self._headers(app)
        ).json()

    def annotate(self, app: str, question: str) -> str:
        created = self.post(app, "/apps/annotations", question=question, answer="Noted.")
        return str(created.json()["id"])

    def annotation_reply(self, app: str, action: str) -> str:
        path = f"/apps/annotation-reply/{action}"
        return str(self.post(app, path, **_ANNOTATION_REPLY).json()["job_id"])


def _path(app: str) -> str:
    paths = {"completion": "/completion-messages", "workflow": "/workflows/run"}
    return paths.get(app, "/chat-messages")


def _body(app: str, query: str) -> dict[str, Any]:
    inputs = {
        "completion": {"query": query},
        "workflow": {"text": query},
        "greeter": {"name": "Ada", "tone": "warm"},
    }.get(app, {})
    return {"response_mode": "streaming", "query": query, "inputs": inputs}
