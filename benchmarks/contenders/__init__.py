"""Those who read the answer. Each gives its text piece by piece in the way its users would.

A module is imported only in the process that measures it.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks import peers


class Contender(Protocol):
    """One model object (or client) that gets the answer from one URL.

    Only the raw aiohttp loop and the floors leave methods out; the cases know.
    """

    def __init__(self, base_url: str) -> None: ...

    def stream(self) -> Iterator[str]:
        """The answer, token by token."""

    def astream(self) -> AsyncIterator[str]:
        """The answer, token by token, on the event loop."""

    def invoke(self) -> str:
        """The whole answer."""

    async def ainvoke(self) -> str:
        """The whole answer, on the event loop."""

    def construct(self) -> Any:
        """Another model object."""


@dataclass(frozen=True)
class Entry:
    """Where a contender is found.

    Attributes:
        title: As the tables show it.
        path: Module in this package, and class.
        imports: What its users import: the subject of the import time; "" for none.
        peer: Distribution that has a folder of its own (see `peers`); "" for none.
    """

    title: str
    path: str
    imports: str = ""
    peer: str = ""


ENTRIES = {
    "httpx": Entry("httpx + json (the limit)", "raw:Httpx", "httpx"),
    "aiohttp": Entry("aiohttp + json (the limit)", "raw:Aiohttp", "aiohttp"),
    "langchain-prebuilt": Entry(
        "LangChain floor, prebuilt chunks",
        "langchain:PrebuiltFloor",
        "langchain_core.language_models",
    ),
    "langchain-floor": Entry("LangChain floor, building chunks", "langchain:Floor"),
    "llama-index-prebuilt": Entry(
        "LlamaIndex floor, prebuilt responses", "llama_index:PrebuiltFloor", "llama_index.core.llms"
    ),
    "llama-index-floor": Entry("LlamaIndex floor, building responses", "llama_index:Floor"),
    "dify_api": Entry("**dify_api**", "dify:DifyApi", "dify_api"),
    "ChatDify": Entry("**ChatDify** (LangChain)", "langchain:Dify", "langchain_dify"),
    "Dify": Entry("**Dify** (LlamaIndex)", "llama_index:DifyModel", "llama_index_dify"),
    "ChatOpenAI": Entry("ChatOpenAI (langchain-openai)", "langchain:OpenAI", "langchain_openai"),
    "ChatMistralAI": Entry(
        "ChatMistralAI (langchain-mistralai)", "langchain:Mistral", "langchain_mistralai"
    ),
    "OpenAILike": Entry(
        "OpenAILike (LlamaIndex)", "llama_index:OpenAILikeModel", "llama_index.llms.openai_like"
    ),
    "dify-client-python": Entry(
        "dify-client-python", "dify:DifyClientPython", "dify_client", "dify-client-python"
    ),
    "dify-api-client": Entry(
        "dify-api-client", "dify:DifyApiClient", "dify_client", "dify-api-client"
    ),
    "dify-oapi2": Entry("dify-oapi2 (bytes, unparsed)", "dify:DifyOapi", "dify_oapi.client"),
    "httpx-search": Entry("httpx + json, a search (the limit)", "raw:HttpxSearch", "httpx"),
    "retriever-langchain": Entry("**DifyRetriever** (LangChain)", "langchain:Retriever"),
    "retriever-llama-index": Entry("**DifyRetriever** (LlamaIndex)", "llama_index:Retriever"),
    "DifyQueryEngine": Entry("**DifyQueryEngine** (LlamaIndex)", "llama_index:QueryEngine"),
    "DifyChatEngine": Entry("**DifyChatEngine** (LlamaIndex)", "llama_index:ChatEngine"),
    "agent-floor": Entry("create_agent, LangChain floor", "langchain:FloorAgent"),
    "agent": Entry("create_agent, **ChatDify**", "langchain:DifyAgent"),
    **{
        f"{name}-{turns}": Entry(f"**{name}**, {turns:,} turns", f"{module}:History{turns}")
        for name, module in (("ChatDify", "langchain"), ("Dify", "llama_index"))
        for turns in (10, 100, 1000)
    },
}


def load(name: str) -> type[Contender]:
    """The class of a contender.

    Raises:
        ImportError: If it, or what it measures, is not installed.
    """
    entry = ENTRIES[name]
    if entry.peer:
        peers.use(entry.peer)
    if entry.imports:
        importlib.import_module(entry.imports)  # the contenders themselves import it late
    module, _, attribute = entry.path.partition(":")
    contender: type[Contender] = getattr(
        importlib.import_module(f"benchmarks.contenders.{module}"), attribute
    )
    return contender
