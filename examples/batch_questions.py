"""A file of questions through an app, interrupted and gone on with.

    python batch_questions.py [questions.csv answers.jsonl]

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set. On the command
line: python -m dify_batch questions.csv answers.jsonl --query-column question
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

from dify_api import DifyClient
from dify_batch import Columns, Limits, read_results, run
from dify_local import app_from_environment

PLANETS = ("Mercury", "Venus", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")


def write_questions(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["planet", "question"])
        writer.writerows([planet, f"How many moons does {planet} have?"] for planet in PLANETS)


def ask(questions: Path, answers: Path, limits: Limits) -> None:
    summary = run(
        questions, DifyClient(), answers, columns=Columns(query="question"), limits=limits
    )
    print(
        f"{summary.done} of {summary.rows} rows done, {summary.done_before} of them before; "
        f"{summary.tokens} tokens, {summary.price:.7f} {summary.currency}; "
        f"stopped by: {summary.stopped}"
    )


def main(questions: Path, answers: Path) -> None:
    ask(questions, answers, Limits(concurrency=1, max_price=0.0001))  # after a few answers
    ask(questions, answers, Limits(concurrency=4))  # the rest
    for result in sorted(read_results(answers), key=lambda result: result.row or 0):
        sources = {source.document_name for source in result.retriever_resources}
        print(f"{result.input['question']}\n  {result.answer:.70} ({', '.join(map(str, sources))})")


if __name__ == "__main__":
    with app_from_environment(), tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 2:
            main(Path(sys.argv[1]), Path(sys.argv[2]))
        else:
            write_questions(Path(folder, "questions.csv"))
            main(Path(folder, "questions.csv"), Path(folder, "answers.jsonl"))
