"""One router over a Dify app and a local index: each question goes where its answer is.

    python llama_index_router.py

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set. The selector
here counts words, to need no model; `LLMSingleSelector.from_defaults(llm=...)` asks one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.base_selector import BaseSelector, SelectorResult, SingleSelection
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool, ToolMetadata

from dify_local import app_from_environment
from llama_index_dify import Dify, DifyQueryEngine

NOTES = [
    "The observatory opens on Friday and Saturday at 20:00, and closes at midnight.",
    "Tickets cost 9 euros; members of the observatory enter free.",
]
QUESTIONS = ["Which planet has the most moons?", "When does the observatory open on Friday?"]


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]{3,}", text.lower()))


class WordEmbedding(BaseEmbedding):
    """One dimension for each word, more or less: enough for a handful of notes."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = [0.0] * 512
        for word in words(text):
            vector[zlib.crc32(word.encode()) % 512] += 1.0
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class WordSelector(BaseSelector):
    """Chooses the engine whose description shares most words with the question."""

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts_dict: PromptDictType) -> None: ...

    def _select(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        shared = [words(choice.description) & words(query.query_str) for choice in choices]
        best = max(range(len(choices)), key=lambda index: len(shared[index]))
        reason = f"shared words: {', '.join(sorted(shared[best]))}"
        return SelectorResult(selections=[SingleSelection(index=best, reason=reason)])

    async def _aselect(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        return self._select(choices, query)


def main() -> None:
    nodes = [TextNode(text=note, metadata={"title": "notes"}) for note in NOTES]
    index = VectorStoreIndex(nodes, embed_model=WordEmbedding())
    Settings.llm = Dify()
    planets = QueryEngineTool.from_defaults(
        DifyQueryEngine(Settings.llm),
        name="planets",
        description="Knows the solar system: which planet has what moons, rings, size.",
    )
    notes = QueryEngineTool.from_defaults(
        index.as_query_engine(similarity_top_k=1, response_mode="context_only"),
        name="notes",
        description="Knows the observatory: when doors open and close, what tickets cost.",
    )
    router = RouterQueryEngine(WordSelector(), [planets, notes])
    for question in QUESTIONS:
        response = router.query(question)
        assert response.metadata is not None
        chosen = response.metadata["selector_result"]
        engine = ("planets", "notes")[chosen.ind]
        print(f"Q: {question}\n   -> {engine} ({chosen.reason})\nA: {response}")
        titles = dict.fromkeys(node.metadata["title"] for node in response.source_nodes)
        print(f"   from {', '.join(titles)}\n")


if __name__ == "__main__":
    with app_from_environment():
        main()
