"""A Dify knowledge base as a retriever, and in a chain that quotes its sources.

Runs against a local knowledge base, or against yours with DIFY_BASE_URL, DIFY_DATASET_API_KEY and
DIFY_DATASET_ID set:

    python -m examples.langchain_retriever "Which planets have rings?"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.documents import Document

from langchain_dify import DifyRetriever


@contextmanager
def retriever(k: int) -> Iterator[DifyRetriever]:
    """Yield a retriever of your knowledge base, or of a local one while the block runs."""
    if "DIFY_DATASET_API_KEY" in os.environ:
        yield DifyRetriever(dataset_id=os.environ["DIFY_DATASET_ID"], k=k)
        return
    from dify_local import LocalDify

    with LocalDify() as server:
        yield DifyRetriever(
            base_url=server.base_url,
            api_key=server.dataset_key,
            dataset_id=server.dataset_id,
            k=k,
        )


def quoted(documents: list[Document]) -> str:
    """The passages as a prompt would have them, each with its source."""
    return "\n".join(
        f"[{number}] {document.page_content} ({document.metadata['source']})"
        for number, document in enumerate(documents, 1)
    )


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planets have rings?"
    with retriever(k=3) as knowledge:
        print(f"{question}\n")
        for document in knowledge.invoke(question):
            score = document.metadata.get("score") or 0
            print(f"  {score:.2f}  {document.metadata['source']:<14} {document.page_content:.70}")

        chain = knowledge | quoted
        print(f"\nThe best passage alone:\n{chain.invoke(question, k=1)}")


if __name__ == "__main__":
    main()
