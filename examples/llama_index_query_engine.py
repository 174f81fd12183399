"""A Dify app as a query engine: the answer as it streams, then what it cites.

    python llama_index_query_engine.py

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

from llama_index.core.postprocessor import SimilarityPostprocessor

from dify_local import app_from_environment
from llama_index_dify import DifyQueryEngine, DifyStreamingResponse

QUESTION = "Which planet has the most moons?"


def main() -> None:
    engine = DifyQueryEngine(
        streaming=True, node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=0.1)]
    )
    print(f"Q: {QUESTION}\nA: ", end="")
    response = engine.query(QUESTION)
    assert isinstance(response, DifyStreamingResponse)
    for token in response.response_gen:
        print(token, end="", flush=True)
    print("\n\nSources, known once the stream has ended:")
    for found in response.source_nodes:
        print(f"  {found.score:.2f}  {found.metadata['title']:<12} {found.text[:60]} ...")
    if response.raw:
        print(f"\n{response.raw['usage']['total_tokens']} tokens")


if __name__ == "__main__":
    with app_from_environment():
        main()
