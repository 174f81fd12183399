"""Asks a local server what was asked of a recorded one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.fidelity import behaviour
from tests.fidelity.local import Event, Local, local_app
from tests.fidelity.recordings import Recording
from tests.fidelity.things import Things

_SPOKEN = {"message", "agent_message", "text_chunk"}


@dataclass
class Answer:
    """What the local server has answered."""

    status: int
    content_type: str
    body: bytes


def ask(local: Local, recording: Recording) -> Answer:
    """Make what the request needs, send it, and return the answer."""
    app, user = local_app(recording.app), _user(recording)
    request = _request(local, recording, app, user)
    if behaviour.is_annotated(recording) and app:
        question = recording.body and behaviour.directive(recording)
        local.annotate(app, str(question or "q"))
        local.annotation_reply(app, "enable")
    if recording.streamed and behaviour.is_stopped(recording):
        answer = _stopping(local, request, app, user)
    elif behaviour.is_submitted_meanwhile(recording):
        answer = _submitting(local, request, app, user, behaviour.compact(recording))
    else:
        answer = _answer(local.client.send(request))
    if behaviour.is_annotated(recording) and app:
        local.annotation_reply(app, "disable")
    return answer


def _user(recording: Recording) -> str:
    body = recording.body if isinstance(recording.body, dict) else {}
    query = dict(recording.query)
    return str(body.get("user") or query.get("user") or "DEFAULT-USER")


def _request(local: Local, recording: Recording, app: str, user: str) -> httpx.Request:
    path, query, body = recording.path, dict(recording.query), recording.body
    headers = {name: value.strip() for name, value in recording.headers.items()}
    things = Things(local, app, user, recording)
    if app:
        headers["authorization"] = f"Bearer {local.server.keys[app]}"
        query, body = things.in_query(query), things.in_body(body)
    if app or path.startswith("/files/"):
        path = things.in_path(path)
    if path.endswith("/file-preview"):  # outside of /v1
        path = local.server.base_url.removesuffix("/v1") + path
    changed = body is not None and body != recording.body
    content = json.dumps(body).encode() if changed else recording.content
    return local.client.build_request(
        recording.method, path, params=query, headers=headers, content=content
    )


def _answer(response: httpx.Response, body: bytes | None = None) -> Answer:
    content_type = response.headers.get("content-type", "")
    return Answer(response.status_code, content_type, response.content if body is None else body)


def _stopping(local: Local, request: httpx.Request, app: str, user: str) -> Answer:
    """Stop a generation at its first word, and read on."""
    stopped = False

    def stop(events: list[Event]) -> bool:
        nonlocal stopped
        spoken = next((e for e in events if e["event"] in _SPOKEN), None)
        if spoken and not stopped:
            stopped = True
            local.stop(app, user, spoken["task_id"])
        return False

    return _answer(*local.follow(request, stop))


def _submitting(local: Local, request: httpx.Request, app: str, user: str, theirs: str) -> Answer:
    """Submit the form of a run when it is seen, and read on."""
    submitted = False

    def submit(events: list[Event]) -> bool:
        nonlocal submitted
        paused: Any = next((e for e in events if e["event"] == "workflow_paused"), None)
        if paused and not submitted:
            submitted = True
            if '"status":"stopped"' in theirs:
                local.stop(app, user, paused["task_id"])
            comment = "/fail mid" if '"status":"failed"' in theirs else "fine"
            local.submit(app, user, paused["data"]["reasons"][0]["form_token"], comment)
        return False

    return _answer(*local.follow(request, submit))
