"""What a request refers to: ids that the recorded server knew become ids of things made here."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fidelity import behaviour
from tests.fidelity.local import NOBODY, PNG, Event, Local, token_of
from tests.fidelity.recordings import Recording

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TEXT = ("a.txt", b"text", "text/plain")
# Variables of recorded forms, and those of the same kind of the local apps.
_VARIABLES = {
    "workflow": {
        "query": "text",
        "n": "count",
        "flag": "shout",
        "doc": "document",
        "docs": "attachments",
    },
    "greeter": {"num": "age", "n": "age", "flag": "polite"},
}


@dataclass
class Things:
    """Makes what one recorded request needs.

    Args:
        local: The server that will be asked.
        app: The local app.
        user: Who asks.
        recording: What was asked, and answered.
    """

    local: Local
    app: str
    user: str
    recording: Recording

    @property
    def found(self) -> bool:
        """Whether the recorded server knew what was asked for."""
        return self.recording.status not in {403, 404}

    def in_path(self, path: str) -> str:
        for before, name, after, make in self._makers():
            if self.found or before == "/files/":
                pattern = f"(?<={before}){name}{after}"
                path = re.sub(pattern, lambda _, make=make: make(), path)  # type: ignore[misc]
        return path

    def _makers(self) -> tuple[tuple[str, str, str, Callable[[], str]], ...]:
        return (
            ("/conversations/", _UUID, "", self.conversation),
            ("/variables/", _UUID, "", self.variable),
            ("/messages/", _UUID, "", self.message),
            ("/annotations/", _UUID, "", lambda: self.local.annotate(self.app, "q")),
            ("/status/", _UUID, "", self.annotation_job),
            ("/files/", _UUID, "", self.file),
            ("/workflows/run/", _UUID, "", self.run_id),
            ("/workflow/", _UUID, "", self.run_id),
            ("/workflows/", _UUID, "(?=/run)", self.workflow_id),
            ("/end-users/", _UUID, "", self.end_user),
            ("/form/human_input/", r"[\w-]+", "", self.form_token),
        )

    def in_query(self, query: dict[str, str]) -> dict[str, str]:
        query = dict(query)
        if self.found and _is_uuid(query.get("conversation_id")):
            turn = self._turn()[-1]
            query["conversation_id"] = str(turn.get("conversation_id"))
            if _is_uuid(query.get("first_id")):
                query["first_id"] = str(turn["message_id"])
        if self.found and _is_uuid(query.get("last_id")):
            self.conversation()
            query["last_id"] = self.conversation()
        return query

    def in_body(self, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        body = dict(body)
        if self.found and _is_uuid(body.get("conversation_id")):
            body["conversation_id"] = self.conversation()
        if self.found and _is_uuid(body.get("workflow_id")):
            body["workflow_id"] = self.workflow_id()
        if self.found and body.get("message_id"):
            # A text-to-audio of an unknown message is answered by null.
            unknown = self.recording.reply.strip() == b"null"
            body["message_id"] = NOBODY if unknown else self.message()
        if isinstance(body.get("files"), list):
            body["files"] = [self._file_entry(entry) for entry in body["files"]]
        if isinstance(body.get("inputs"), dict) and "/form/" not in self.recording.path:
            body["inputs"] = self._inputs(body["inputs"])
        query = body.get("query")
        if isinstance(query, str) and query.strip():
            body["query"] = behaviour.directive(self.recording) or query
        return body

    def _inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        own = _VARIABLES.get(self.app, {})
        inputs = {own.get(name, name): self._value(value) for name, value in inputs.items()}
        if inputs.get("tone") == "kind":
            inputs["tone"] = "warm"
        told = {"workflow": "text", "completion": "query"}.get(self.app)
        asked = behaviour.directive(self.recording)
        if told and asked and (inputs.get(told) or told not in inputs):
            inputs[told] = asked
        return inputs

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self._file_entry(value)

    def _file_entry(self, entry: Any) -> Any:
        refused = b"Invalid upload file" in self.recording.reply
        usable = self.recording.status == 200 and not refused
        if not (isinstance(entry, dict) and entry.get("upload_file_id") and usable):
            return entry
        file = _TEXT if entry["type"] == "document" else PNG
        return {**entry, "upload_file_id": self.local.upload(self.app, self.user, file)["id"]}

    def _turn(self) -> list[Event]:
        return self.local.run(self.app, self.user, behaviour.directive_before(self.recording))

    def conversation(self) -> str:
        return str(self._turn()[-1].get("conversation_id"))

    def message(self) -> str:
        message = str(next(e["message_id"] for e in self._turn() if "message_id" in e))
        body = self.recording.body
        withdrawn = isinstance(body, dict) and body.get("rating", "") is None
        if withdrawn and self.recording.status == 200:
            self.local.post(self.app, f"/messages/{message}/feedbacks", self.user, rating="like")
        return message

    def variable(self) -> str:
        """A variable of the newest conversation, of the type that the recorded one has."""
        newest = {"user": self.user, "sort_by": "-created_at"}
        made = self.local.get(self.app, "/conversations", **newest)["data"][0]["id"]
        variables = self.local.get(self.app, f"/conversations/{made}/variables", user=self.user)
        value = (self.recording.body or {}).get("value")
        kinds = {list: "array[string]", dict: "object", int: "number", float: "number"}
        kind = kinds.get(type(value), "string")
        expected = re.search(r"expects (\S+),", self.recording.reply.decode())
        if self.recording.status == 400:
            kind = expected[1] if expected else "number"
        kind = {"integer": "number"}.get(kind, kind)
        return str(next(v["id"] for v in variables["data"] if v["value_type"] == kind))

    def annotation_job(self) -> str:
        if self.recording.status != 200:
            return NOBODY
        job = self.local.annotation_reply(self.app, self.recording.path.split("/")[3])
        self.local.annotation_reply(self.app, "disable")
        return job

    def file(self) -> str:
        status = self.recording.status
        if status == 404 and NOBODY in self.recording.path:
            return NOBODY
        other = "advanced-chat" if self.app != "advanced-chat" else "chat"
        app = other if status == 403 else self.app or "chat"
        kind = self.recording.reply_headers.get("content-type", "").partition(";")[0]
        file_id = str(self.local.upload(app, self.user, ("a.bin", b"x", kind or "image/png"))["id"])
        if status != 404:
            entry = {"type": "image", "transfer_method": "local_file", "upload_file_id": file_id}
            self.local.run(app, self.user, "/echo x", files=[entry])
        return file_id

    def run_id(self) -> str:
        if self.app not in {"workflow", "advanced-chat"}:
            return NOBODY
        return str(next(e["workflow_run_id"] for e in self._run() if "workflow_run_id" in e))

    def form_token(self) -> str:
        events = self._paused_run()
        token = token_of(events)
        if self.recording.status == 412 and not behaviour.is_expired(self.recording):
            self.local.submit(self.app, self.user, token)
        return token

    def _run(self) -> list[Event]:
        """The events so far of a run in the state in which the recorded one was looked at."""
        theirs = self.recording
        if behaviour.waits(theirs):
            events = self._paused_run()
            kinds = behaviour.names(theirs)
            if "workflow_finished" in kinds and not behaviour.is_expired(theirs):
                self._go_on(events, kinds)
            return events
        watched = theirs.path.endswith("/events") and len(behaviour.names(theirs)) > 1
        if watched:
            return self.local.leave(self.app, self.user, "/slow 0.2 3")
        return self.local.run(self.app, self.user, behaviour.directive_before(theirs))

    def _paused_run(self) -> list[Event]:
        if not behaviour.is_expired(self.recording):
            return self.local.run(self.app, self.user, "/pause Draft.")
        # What is told of an expired form is asked for when it has expired.
        seconds = 1 if self.recording.streamed else 0
        return self.local.run(self.app, self.user, f"/timeout {seconds} Draft.")

    def _go_on(self, events: list[Event], kinds: list[str]) -> None:
        if "workflow_paused" in kinds:
            return  # its form was submitted while it was watched
        if '"status":"stopped"' in behaviour.compact(self.recording):
            self.local.stop(self.app, self.user, events[-1]["task_id"])
        self.local.submit(self.app, self.user, token_of(events))

    def workflow_id(self) -> str:
        events = self.local.run(self.app, self.user, "/echo x")
        started = next((e for e in events if e["event"] == "workflow_started"), None)
        return str(started["data"]["workflow_id"]) if started else NOBODY

    def end_user(self) -> str:
        return str(self.local.upload(self.app, self.user)["created_by"])


def _is_uuid(value: object) -> bool:
    return bool(re.fullmatch(_UUID, str(value)))
