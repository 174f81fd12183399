"""Decides how a question is answered: by a directive, a plan, a model, or the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dify_local._answers.calculator import calculate, find_calculation
from dify_local._answers.canned import CannedAnswers
from dify_local._answers.directives import find_directive, obey
from dify_local._answers.extractive import NOTHING_FOUND, answer_from
from dify_local._answers.follow_ups import standalone_question
from dify_local._answers.reply import Reply, ToolCall, play, text_reply, tokens
from dify_local._answers.tool_calling import plan
from dify_local._answers.upstream import Upstream, patiently
from dify_local._apps.app import App
from dify_local._apps.references import rendered
from dify_local._protocol.values import JsonObject
from dify_local._storage.conversations import Turn
from dify_local._storage.knowledge import Hit, Knowledge, words

_TOP_K = 5


@dataclass
class Responder:
    """Answers questions for all apps.

    Args:
        knowledge: The knowledge base.
        upstream: A model to answer with, instead of extracting sentences.
        canned: Answers that a test has told.
    """

    knowledge: Knowledge
    upstream: Upstream | None = None
    canned: CannedAnswers = field(default_factory=CannedAnswers)

    def reply(
        self,
        app: App,
        query: str,
        inputs: JsonObject,
        history: Sequence[Turn] = (),
        images: Sequence[str] = (),
    ) -> Reply:
        """Return the reply to a query.

        Args:
            app: The app that is asked.
            query: The question, or for a workflow the text to work on.
            inputs: The values of the input form.
            history: Earlier turns of the conversation, oldest first.
            images: URLs of images that came with it; only a model upstream looks at them.

        Raises:
            ApiError: The query is a directive with an argument that does not fit.
        """
        canned = self.canned.reply(app.name, query, inputs)
        if canned:
            return canned
        directive = find_directive(query)
        if directive:
            return obey(*directive)
        if app.answer is not None and not (app.nodes and app.mode == "advanced-chat"):
            return text_reply(rendered(app.answer, {"start": inputs, "sys": {"query": query}}))
        if app.name == "planner":
            return text_reply(plan(query, [turn.query for turn in history]))
        if app.name == "greeter":
            return text_reply(_greeting(inputs))
        return self._from_knowledge(app, query, inputs, history, images)

    def _from_knowledge(
        self,
        app: App,
        query: str,
        inputs: JsonObject,
        history: Sequence[Turn],
        images: Sequence[str],
    ) -> Reply:
        calculation = find_calculation(query) if app.mode in {"agent-chat", "agent"} else None
        if calculation:
            return self._calculated(calculation)
        titles = self.knowledge.titles() if history else ()
        question = standalone_question(query, history, titles)
        hits = self.knowledge.retrieve(question, top_k=_TOP_K)
        text = ""
        if not self.upstream:
            text, hits = self._extract(app, question, hits, inputs)
        context = "\n".join(hit.segment.content for hit in hits)
        if self.upstream:
            steps = patiently(self.upstream.answer(query, context, history, images))
        else:
            steps = play(tokens(text))
        calls = []
        if app.mode in {"agent-chat", "agent"}:
            tool = f"dataset_{self.knowledge.id.replace('-', '_')}"
            calls = [ToolCall(tool, {"query": question}, context or NOTHING_FOUND)]
        return Reply(steps, hits, calls, context)

    def _extract(
        self, app: App, question: str, hits: list[Hit], inputs: JsonObject
    ) -> tuple[str, list[Hit]]:
        """Return the answer, and the hits with those that it comes from first."""
        count = inputs.get("count")
        sentences = max(1, int(count)) if isinstance(count, (int, float)) else 2
        text, used = answer_from(self.knowledge, question, sentences=sentences)
        cited = list({hit.segment.id: hit for hit in [*used, *hits]}.values())
        hits = cited[: max(_TOP_K, len(used))]
        if app.mode != "workflow":
            return text, hits
        if inputs.get("title"):
            text = f"{inputs['title']}\n\n{text}"
        return (text.upper() if inputs.get("shout") else text), hits

    async def close(self) -> None:
        """Close the connections to the model."""
        if self.upstream:
            await self.upstream.close()

    @staticmethod
    def _calculated(calculation: str) -> Reply:
        result = calculate(calculation)
        call = ToolCall("calculator", {"expression": calculation}, result)
        reply = text_reply(f"{calculation} = {result}")
        reply.tool_calls = [call]
        return reply

    def suggested_questions(self, answer: str) -> list[str]:
        """Return three questions that could follow an answer."""
        titles = [document.title for document in self.knowledge.documents]
        asked = set(words(answer))
        # Titles the answer speaks of come first; the order is otherwise that of the documents.
        titles.sort(key=lambda title: not asked.issuperset(words(title)))
        return [f"What is known about {title}?" for title in titles[:3]]


def _greeting(inputs: JsonObject) -> str:
    greeting = "Hello" if inputs.get("tone") == "cold" else "A very warm welcome"
    return f"{greeting}, {inputs.get('name')}!"
