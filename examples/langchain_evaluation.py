"""Evaluate a Dify app with LangSmith's `evaluate`: `ChatDify` is the target.

Runs offline: the examples are here, the results stay here (`upload_results=False`), and the
evaluators count words. Against LangSmith give the name of a dataset as `data`, leave
`upload_results` out, and let a model judge; `openevals` has evaluators of RAG ready-made.

    python langchain_evaluation.py
"""

from __future__ import annotations

import re
import sys
import uuid
from typing import Any

from langsmith import Client, evaluate
from langsmith.schemas import Example

from dify_local import app_from_environment
from langchain_dify import ChatDify, citations

QUESTIONS = {
    "Which planet has the most moons?": "Saturn",
    "Which planet is the largest?": "Jupiter",
    "How many moons does Mars have?": "two",
}


class Offline(Client):
    """Sends no traces; against LangSmith itself leave it out."""

    def __init__(self) -> None:
        super().__init__(
            api_url="http://127.0.0.1:9", api_key="local", auto_batch_tracing=False, info={}
        )

    def create_run(self, *_: Any, **__: Any) -> None:
        """A run begins."""

    def update_run(self, *_: Any, **__: Any) -> None:
        """A run ends."""


def correct(outputs: dict[str, Any], reference_outputs: dict[str, Any]) -> bool:
    """Whether the answer has what was expected."""
    return reference_outputs["answer"].lower() in outputs.get("answer", "").lower()


def grounded(outputs: dict[str, Any]) -> float:
    """The share of the answer's words that are in what it cites."""
    words = _words(outputs.get("answer", ""))
    cited = _words(" ".join(outputs.get("documents", [])))
    return round(len(words & cited) / max(1, len(words)), 2)


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


def main() -> None:
    model = ChatDify(user="evaluation").detached(delete_conversation=True)

    def target(inputs: dict[str, Any]) -> dict[str, Any]:
        message = model.invoke(inputs["question"])
        documents = [document.page_content for document in citations(message)]
        return {"answer": message.text, "documents": documents}

    examples = [
        Example(id=uuid.uuid4(), inputs={"question": question}, outputs={"answer": answer})
        for question, answer in QUESTIONS.items()
    ]
    results = evaluate(
        target,
        data=examples,
        evaluators=[correct, grounded],
        upload_results=False,
        client=Offline(),
    )
    for row in results:
        if failure := row["run"].error:  # LangSmith goes on with the others
            sys.exit(failure.splitlines()[0])
        scores = {score.key: score.score for score in row["evaluation_results"]["results"]}
        outputs: dict[str, Any] = row["run"].outputs or {}
        print(f"{(row['example'].inputs or {})['question']}\n  {outputs['answer']:.70}\n  {scores}")


if __name__ == "__main__":
    with app_from_environment():
        main()
