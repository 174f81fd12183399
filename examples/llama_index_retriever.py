"""A Dify knowledge base as a retriever, alone and fused with another search of it.

    python llama_index_retriever.py

Offline against a local knowledge base; against yours with DIFY_BASE_URL, DIFY_DATASET_API_KEY
and DIFY_DATASET_ID set.
"""

from __future__ import annotations

import os

from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import NodeWithScore

from dify_local import dataset_from_environment
from llama_index_dify import DifyRetriever

QUESTION = "Which moons have an ocean?"


def show(title: str, nodes: list[NodeWithScore]) -> None:
    print(f"\n{title}")
    for node in nodes:
        score = "   -" if node.score is None else f"{node.score:.2f}"
        print(f"  {score}  {node.metadata['title']:<12} {node.text[:60]} ...")


def main() -> None:
    dataset = os.environ["DIFY_DATASET_ID"]
    by_text = DifyRetriever(dataset, search_method="full_text_search", similarity_top_k=3)
    by_keyword = DifyRetriever(dataset, search_method="keyword_search", similarity_top_k=3)
    fused = QueryFusionRetriever(
        [by_text, by_keyword],
        llm=MockLLM(),  # asked for further queries, of which there are none
        num_queries=1,
        mode=FUSION_MODES.RECIPROCAL_RANK,
        similarity_top_k=4,
    )
    print(f"Q: {QUESTION}")
    show("Full text", by_text.retrieve(QUESTION))
    show("Keywords", by_keyword.retrieve(QUESTION))
    show("Both, fused by rank", fused.retrieve(QUESTION))


if __name__ == "__main__":
    with dataset_from_environment():
        main()
