"""A server that plays one recorded app: its `/parameters`, its mode, and an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.cassettes import Exchange, all_exchanges, exchange
from tests.support.replay import Received, ReplayServer, Reply

PARAMETERS = [
    e for e in all_exchanges() if (e.method, e.path, e.status) == ("GET", "/parameters", 200)
]

_MODES = {"workflow": "workflow", "completion": "completion", "chatflow": "advanced-chat"}
_ANSWERS = {
    "workflow": ("/workflows/run", exchange("dify-1.16.0/workflow_streaming")),
    "completion": ("/completion-messages", exchange("dify-1.16.0/completion_ping_streaming")),
    "chat": ("/chat-messages", exchange("dify-1.16.0/chat_streaming")),
}


def form_of(parameters: Exchange) -> list[tuple[str, dict[str, Any]]]:
    """Type and body of each control of a recorded `/parameters`."""
    controls = json.loads(parameters.body)["user_input_form"]
    return [next(iter(control.items())) for control in controls]


def mode_of(parameters: Exchange) -> str:
    """The mode of the app that was recorded, by the name of its key."""
    app = parameters.recorded["request"]["headers"]["authorization"][0]
    app = app.removeprefix("Bearer app-")
    if app.startswith("new_agent"):
        return "agent"
    if app.startswith("agent"):
        return "agent-chat"
    return next((mode for name, mode in _MODES.items() if app.startswith(name)), "chat")


def sample_values(parameters: Exchange) -> dict[str, Any]:
    """A value for each control."""
    return {control["variable"]: _sample(kind, control) for kind, control in form_of(parameters)}


def _sample(kind: str, control: dict[str, Any]) -> Any:
    samples: dict[str, Any] = {
        "number": 7,
        "checkbox": True,
        "json_object": {"a": 1},
        "file": "https://example.com/saturn.png",
        "file-list": ["https://example.com/saturn.png"],
    }
    return control["options"][0] if kind == "select" else samples.get(kind, "Saturn")


@contextmanager
def recorded_app(parameters: Exchange) -> Iterator[ReplayServer]:
    """Serve the app: what is not recorded with each `/parameters`, its `/info`, is made up."""
    mode = mode_of(parameters)
    path, answer = _ANSWERS.get(mode, _ANSWERS["chat"])
    info = {"name": f"Recorded {mode}", "description": "As recorded.", "mode": mode}

    def reply(request: Received) -> Reply:
        if request.path == "/v1/info":
            body = json.dumps(info).encode()
            return Reply(headers={"content-type": "application/json"}, pieces=[body])
        if request.path == "/v1/parameters":
            return parameters.reply()
        assert request.path == f"/v1{path}", request.path
        return answer.reply(longest=4000)

    with ReplayServer(reply) as server:
        yield server
