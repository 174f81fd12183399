"""Evaluate a Dify app with LlamaIndex's `BatchEvalRunner`: `DifyQueryEngine` answers.

Runs offline, so that the evaluators count words. In their place put
`FaithfulnessEvaluator(llm=...)` and `CorrectnessEvaluator(llm=...)` with a model that judges, which
may be an app: `Dify(...)`.
The runner asks a question up to three times if it fails; for thousands of them see
batch_questions.py, which does not.

    python llama_index_evaluation.py
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.evaluation import BaseEvaluator, BatchEvalRunner, EvaluationResult

from dify_local import app_from_environment
from llama_index_dify import DifyQueryEngine

QUESTIONS = {
    "Which planet has the most moons?": "Saturn",
    "Which planet is the largest?": "Jupiter",
    "How many moons does Mars have?": "two",
}


class WordEvaluator(BaseEvaluator):
    """A base of evaluators that have no prompts."""

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: dict[str, Any]) -> None:
        pass


class Correct(WordEvaluator):
    """Whether the answer has what was expected, the `reference`."""

    async def aevaluate(
        self,
        query: str | None = None,
        response: str | None = None,
        contexts: Sequence[str] | None = None,
        reference: str = "",
        **_: Any,
    ) -> EvaluationResult:
        """Evaluate an answer."""
        found = reference.lower() in (response or "").lower()
        return EvaluationResult(query=query, response=response, passing=found, score=float(found))


class Grounded(WordEvaluator):
    """The share of the answer's words that are in what it cites."""

    async def aevaluate(
        self,
        query: str | None = None,
        response: str | None = None,
        contexts: Sequence[str] | None = None,
        **_: Any,
    ) -> EvaluationResult:
        """Evaluate an answer."""
        words, cited = _words(response or ""), _words(" ".join(contexts or []))
        share = round(len(words & cited) / max(1, len(words)), 2)
        return EvaluationResult(query=query, response=response, passing=share > 0.5, score=share)


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


async def main() -> None:
    runner = BatchEvalRunner({"correct": Correct(), "grounded": Grounded()}, workers=4)
    results = await runner.aevaluate_queries(
        DifyQueryEngine(),
        queries=list(QUESTIONS),
        correct={"reference": list(QUESTIONS.values())},
        grounded={},
    )
    for correct, grounded in zip(results["correct"], results["grounded"], strict=True):
        print(f"{correct.query}\n  {correct.response or '':.70}")
        print(f"  correct {correct.score}, grounded {grounded.score}")


if __name__ == "__main__":
    with app_from_environment():
        asyncio.run(main())
