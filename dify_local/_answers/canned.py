"""Answers that a test has told the server to give."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dify_local._answers.reply import Failure, Reply, Silence, Step, play, tokens
from dify_local._protocol.values import JsonObject, stable_id
from dify_local._storage.knowledge.records import Document, Hit, Segment

Question = str | re.Pattern[str] | None


@dataclass
class CannedAnswer:
    """An answer and the questions it is given to.

    Attributes:
        question: The question, or a regular expression that it matches; None for every question.
        texts: What is said, one text for each time; the last again, if it is given more often.
        outputs: What a workflow gives.
        events: The stream itself.
        failure: How the model fails, after the text.
        sources: What is cited: the name of a document, and the text in it.
        app: Only this app.
        inputs: Only where these inputs have these values.
        delay: Seconds before the first token.
        pieces: The pieces a text is streamed in, or how many of them there are.
        remaining: How often it is still given; None for always.
        given: How often it has been given.
    """

    question: Question
    texts: Sequence[str] = ()
    outputs: JsonObject | None = None
    events: list[JsonObject] | None = None
    failure: Failure | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    app: str | None = None
    inputs: Mapping[str, object] = field(default_factory=dict)
    delay: float = 0.0
    pieces: int | Sequence[str] | None = None
    remaining: int | None = None
    given: int = 0

    def matches(self, app: str, query: str, inputs: JsonObject) -> bool:
        """Tell whether this answers a question."""
        return (
            self.remaining != 0
            and self.app in {None, app}
            and all(inputs.get(name) == value for name, value in self.inputs.items())
            and _asks(self.question, query)
        )

    def reply(self) -> Reply:
        """Return the answer for the next time."""
        text = self.texts[min(self.given, len(self.texts) - 1)] if self.texts else ""
        self.given += 1
        if self.remaining is not None:
            self.remaining -= 1
        steps: list[Step] = [Silence(self.delay)] if self.delay else []
        steps += _cut(text, self.pieces)
        if self.failure:
            steps.append(self.failure)
        return Reply(play(steps), _hits(self.sources), outputs=self.outputs, events=self.events)


class CannedAnswers:
    """The canned answers of a server; safe from any thread."""

    def __init__(self) -> None:
        self._answers: list[CannedAnswer] = []
        self._lock = threading.Lock()

    def add(self, answer: CannedAnswer) -> None:
        """Keep an answer behind those there are."""
        with self._lock:
            self._answers.append(answer)

    def clear(self) -> None:
        """Forget all answers."""
        with self._lock:
            self._answers.clear()

    def reply(self, app: str, query: str, inputs: JsonObject) -> Reply | None:
        """Return the reply of the first answer that fits a question, or None."""
        with self._lock:
            fitting = (a for a in self._answers if a.matches(app, query, inputs))
            answer = next(fitting, None)
            return answer.reply() if answer else None


def _asks(question: Question, query: str) -> bool:
    if question is None:
        return True
    if isinstance(question, re.Pattern):
        return question.search(query) is not None
    if question.strip() == query.strip():
        return True
    try:
        return re.fullmatch(question, query, re.DOTALL) is not None
    except re.error:
        return False


def _hits(sources: Mapping[str, str]) -> list[Hit]:
    hits = []
    for name, content in sources.items():
        dataset_id = stable_id("dataset", "canned")
        document_id = stable_id("document", "canned", name)
        document = Document(dataset_id, name, 1, "", title=name, id=document_id)
        segment_id = stable_id("segment", document_id, content)
        words = len(content.split())
        segment = Segment(dataset_id, document_id, 1, content, words, id=segment_id)
        hits.append(Hit(segment, document, 1.0))
    return hits


def _cut(text: str, pieces: int | Sequence[str] | None) -> Iterable[str]:
    if pieces is None:
        return tokens(text)
    if not isinstance(pieces, int):
        return pieces
    size = -(-len(text) // pieces) or 1
    return [text[start : start + size] for start in range(0, len(text), size)]
