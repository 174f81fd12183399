"""Decides how a question is answered: by a directive, a plan, a model, or the documents."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dify_local.answers import NOTHING_FOUND, Turn, answer_from, standalone_question, tokens
from dify_local.apps import App
from dify_local.directives import find_directive, obey
from dify_local.knowledge import Hit, Knowledge, words
from dify_local.planner import plan
from dify_local.steps import Reply, ToolCall, play, text_reply
from dify_local.upstream import Upstream
from dify_local.wire import JsonObject

_TOP_K = 5
_ARITHMETIC = re.compile(r"(?:\d[\d.]*|\()(?:[\d.\s()]*[-+*/][\d.\s()]*)+")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass
class Replies:
    """Answers questions for all apps.

    Args:
        knowledge: The knowledge base.
        upstream: A model to answer with, instead of extracting sentences.
    """

    knowledge: Knowledge
    upstream: Upstream | None = None

    def reply(
        self, app: App, query: str, inputs: JsonObject, history: Sequence[Turn] = ()
    ) -> Reply:
        """Return the reply to a query.

        Args:
            app: The app that is asked.
            query: The question, or for a workflow the text to work on.
            inputs: The values of the input form.
            history: Earlier turns of the conversation, oldest first.
        """
        directive = find_directive(query)
        if directive:
            return obey(*directive)
        if app.name == "planner":
            return text_reply(plan(query))
        if app.name == "greeter":
            return text_reply(_greeting(inputs))
        return self._from_knowledge(app, query, inputs, history)

    def _from_knowledge(
        self, app: App, query: str, inputs: JsonObject, history: Sequence[Turn]
    ) -> Reply:
        calculation = _calculation(query) if app.mode in {"agent-chat", "agent"} else None
        if calculation:
            return self._calculated(calculation)
        question = standalone_question(query, history)
        hits = self.knowledge.retrieve(question, top_k=_TOP_K)
        context = "\n".join(hit.segment.content for hit in hits)
        if self.upstream:
            steps = self.upstream.answer(query, context, history)
        else:
            steps = play(tokens(self._extract(app, query, question, hits, inputs)))
        calls = []
        if app.mode in {"agent-chat", "agent"}:
            tool = f"dataset_{self.knowledge.id.replace('-', '_')}"
            calls = [ToolCall(tool, {"query": question}, context or NOTHING_FOUND)]
        return Reply(steps, hits, calls, context)

    def _extract(
        self, app: App, query: str, question: str, hits: list[Hit], inputs: JsonObject
    ) -> str:
        if app.mode != "workflow":
            return answer_from(self.knowledge, question, hits, query=query)
        count = inputs.get("count")
        sentences = max(1, int(count)) if isinstance(count, (int, float)) else 2
        text = answer_from(self.knowledge, question, hits, sentences=sentences)
        if inputs.get("title"):
            text = f"{inputs['title']}\n\n{text}"
        return text.upper() if inputs.get("shout") else text

    @staticmethod
    def _calculated(calculation: str) -> Reply:
        result = _calculate(calculation)
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


def _calculation(query: str) -> str | None:
    match = _ARITHMETIC.search(query)
    return match[0].strip(" .") if match else None


def _calculate(expression: str) -> str:
    try:
        value = _evaluate(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        return f"error: {error}"
    return f"{value:.10g}"


def _evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    raise ValueError("only numbers and + - * / are understood")
