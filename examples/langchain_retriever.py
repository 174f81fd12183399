"""A Dify knowledge base as a retriever, and in a chain that quotes its sources.

Runs against a local knowledge base, or against yours with DIFY_BASE_URL, DIFY_DATASET_API_KEY and
DIFY_DATASET_ID set:

    python langchain_retriever.py "Which planets have rings?"
"""

from __future__ import annotations

import os
import sys

from langchain_core.documents import Document

from dify_local import dataset_from_environment
from langchain_dify import DifyRetriever


def quoted(documents: list[Document]) -> str:
    """The passages as a prompt would have them, each with its source."""
    return "\n".join(
        f"[{number}] {document.page_content} ({document.metadata['source']})"
        for number, document in enumerate(documents, 1)
    )


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planets have rings?"
    knowledge = DifyRetriever(dataset_id=os.environ["DIFY_DATASET_ID"], k=3)
    print(f"{question}\n")
    for document in knowledge.invoke(question):
        score = document.metadata.get("score") or 0
        print(f"  {score:.2f}  {document.metadata['source']:<14} {document.page_content:.70}")

    chain = knowledge | quoted
    print(f"\nThe best passage alone:\n{chain.invoke(question, k=1)}")


if __name__ == "__main__":
    with dataset_from_environment():
        main()
