"""What a test tells a server to say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dify_local._answers.canned import CannedAnswer, CannedAnswers
from dify_local._answers.reply import Failure
from dify_local._apps.app import App
from dify_local._protocol.values import JsonObject
from dify_local._testing.cassettes import RecordedExchange, json_object, load_cassettes
from dify_local._testing.replay import Recordings


class Answering:
    """The side of a server that is told its answers.

    Args:
        apps: The apps by their keys.
        recordings: What is replayed.

    Attributes:
        keys: API keys by the name of the app.
    """

    def __init__(self, apps: dict[str, App], recordings: Recordings) -> None:
        self._apps = apps
        self.keys = {app.name: app.key for app in apps.values()}
        self._canned = CannedAnswers()
        self._recordings = recordings
        self._recorded_apps: list[App] = []

    def _forget_answers(self) -> None:
        self._canned.clear()
        self._recordings.clear()
        for app in self._recorded_apps:
            del self._apps[app.key], self.keys[app.name]
        self._recorded_apps.clear()

    def answer(
        self,
        question: str | re.Pattern[str] | None = None,
        text: str | Sequence[str] = (),
        *,
        outputs: JsonObject | None = None,
        events: Sequence[JsonObject] | None = None,
        error: str | None = None,
        code: str = "completion_request_error",
        status: int = 400,
        sources: Mapping[str, str] | None = None,
        app: str | None = None,
        inputs: Mapping[str, object] | None = None,
        times: int | None = None,
        delay: float = 0.0,
        tokens: int | Sequence[str] | None = None,
    ) -> CannedAnswer:
        """Answer a question in a way of your own; of several answers that fit, the first is given.

        Args:
            question: The question itself, or a regular expression that all of it matches; a
                compiled one may match a part. Every question when left out. What a workflow is
                asked is the first text of its form.
            text: What is said. Several texts are given one after the other, each once.
            outputs: What a workflow gives.
            events: The stream itself, event by event; ids that an event lacks are filled in.
            error: Message of the model, which fails after the text.
            code: Dify's code for the error.
            status: HTTP status for the error.
            sources: What is cited: names of documents, and the text in each.
            app: Name of the only app that answers so.
            inputs: Only where the inputs have these values.
            times: How often it is given; always when left out.
            delay: Seconds before the first token.
            tokens: The pieces the text is streamed in, or how many of them; words when left out.

        Returns:
            The answer, which counts how often it was given.

        Raises:
            ValueError: There is nothing to answer, or no such app.

        Example:
            >>> with LocalDify() as server:
            ...     hello = server.answer("Hello|Hi", "Hello, Ada!")
            ...     moons = server.answer("How many moons?", ["Two.", "I said two."])
            ...     report = server.answer(app="workflow", outputs={"text": "All is well."})
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not texts and outputs is None and events is None and error is None:
            raise ValueError("Nothing to answer: give a text, outputs, events or an error")
        if app is not None and app not in self.keys:
            raise ValueError(f"No app {app!r}; there are {', '.join(self.keys)}")
        if times is None and not isinstance(text, str) and texts:
            times = len(texts)
        answer = CannedAnswer(
            question,
            texts,
            outputs=outputs,
            events=None if events is None else list(events),
            failure=None if error is None else Failure(code, status, error),
            sources=sources or {},
            app=app,
            inputs=inputs or {},
            delay=delay,
            pieces=tokens,
            remaining=times,
        )
        self._canned.add(answer)
        return answer

    def replay(self, cassettes: str | Path, *, app: str = "recorded") -> str:
        """Serve recorded exchanges as an app, and return its API key.

        What was asked in them (question, inputs and response mode) is answered as it was then, in
        the order of the recordings; another question is refused. What else a client calls is
        answered as recorded, or else by the local app of that name.

        Args:
            cassettes: A cassette as VCR writes it, or a folder of them.
            app: Name of the app; there may be a local one of that name.

        Raises:
            FileNotFoundError: There is no such file or folder, or no cassette in it.
            ValueError: A file is no cassette.
            ImportError: PyYAML is not installed.
        """
        exchanges = load_cassettes(cassettes)
        if app not in self.keys:
            made = App(app, _recorded_mode(exchanges), description="Recorded")
            self._recorded_apps.append(made)
            self._apps[made.key] = made
            self.keys[app] = made.key
        self._recordings.add(self.keys[app], exchanges)
        return self.keys[app]


def _recorded_mode(exchanges: Sequence[RecordedExchange]) -> str:
    info = next((json_object(e.body) for e in exchanges if e.path == "/info"), {})
    if info.get("mode"):
        return str(info["mode"])
    paths = {exchange.path for exchange in exchanges}
    if "/workflows/run" in paths:
        return "workflow"
    if "/completion-messages" in paths:
        return "completion"
    bodies = b"".join(e.body for e in exchanges if e.path == "/chat-messages")
    if b'"agent_thought"' in bodies:
        return "agent-chat"
    return "advanced-chat" if b'"workflow_started"' in bodies else "chat"
