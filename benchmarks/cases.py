"""What is measured, and of whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.worker import Task

_FLOORS = ("langchain-prebuilt", "langchain-floor", "llama-index-prebuilt", "llama-index-floor")
_BUILDING = ("langchain-floor", "llama-index-floor")
_OURS = ("dify_api", "ChatDify", "Dify")
_MODELS = ("ChatOpenAI", "ChatMistralAI", "OpenAILike")
_CLIENTS = ("dify-client-python", "dify-api-client", "dify-oapi2")
_GROWING = ("httpx", *_BUILDING, *_OURS)
_CALLS = ("httpx", *_BUILDING, *_OURS, *_MODELS, *_CLIENTS)
_SYNC = ("httpx", *_FLOORS, *_OURS, *_MODELS, *_CLIENTS)
_ASYNC = ("httpx", "aiohttp", *_FLOORS, *_OURS, *_MODELS, *_CLIENTS)


@dataclass(frozen=True)
class Case:
    """One row of figures.

    Attributes:
        name: Key in the results.
        title: Heading in the table.
        measure: Method of `Worker`, or "imports".
        contenders: Who takes part.
        unit: Of the figures: "us/token", "us/call", "us", "ms" or "KiB".
        tokens: Tokens of the answer.
        delivery: How the server sends it.
        times: Answers to get.
        streams: Answers at a time.
        fresh: Whether each round takes a new process.
    """

    name: str
    title: str
    measure: str
    contenders: Sequence[str]
    unit: str = "us/token"
    tokens: int = 2000
    delivery: str = "event"
    times: int = 1
    streams: int = 1
    fresh: bool = False

    def task(self, server: str) -> Task:
        """What a worker is asked to do."""
        base_url = f"{server}/{self.tokens}/{self.delivery}/v1"
        return Task(self.measure, base_url, self.tokens, self.times, self.streams)

    def warming(self, server: str) -> Task | None:
        """What a worker does before the first round: the same, with shorter and fewer answers."""
        if self.fresh or self.streams >= 200:
            return None
        shorter = replace(self, tokens=min(self.tokens, 4000), times=min(self.times, 20))
        return shorter.task(server)

    def figure(self, measured: dict[str, float]) -> float:
        """What a worker measured, in the unit of the case."""
        answers = max(self.times, self.streams)
        if self.unit == "us/token":
            return measured["cpu"] / (self.tokens * answers) * 1e6
        if self.unit == "us/call":
            return measured["cpu"] / answers * 1e6
        if self.unit == "us":
            return measured["cpu"] * 1e6
        if self.unit == "ms":
            return measured["seconds"] * 1e3
        return measured["bytes"] / 1024


CASES = (
    Case("stream", "stream, an event per HTTP chunk", "stream", _SYNC, tokens=2500),
    Case("astream", "astream, an event per HTTP chunk", "astream", _ASYNC, tokens=2500),
    Case(
        "stream-coalesced",
        "stream, 4 KiB chunks",
        "stream",
        _SYNC,
        tokens=2500,
        delivery="coalesced",
    ),
    Case(
        "astream-coalesced",
        "astream, 4 KiB chunks",
        "astream",
        _ASYNC,
        tokens=2500,
        delivery="coalesced",
    ),
    Case("first-token", "time to first token", "first_token", _CALLS, "ms", tokens=5, times=40),
    Case(
        "first-token-async",
        "time to first token, async",
        "afirst_token",
        ("aiohttp", *_CALLS),
        "ms",
        tokens=5,
        times=40,
    ),
    Case("calls", "500 short calls, sequential", "invoke", _CALLS, "us/call", tokens=5, times=500),
    Case(
        "calls-50",
        "500 short calls, 50 at a time",
        "ainvoke",
        ("aiohttp", "httpx", *_BUILDING, *_OURS, "ChatOpenAI", "ChatMistralAI"),
        "us/call",
        tokens=5,
        times=500,
        streams=50,
    ),
    *(
        Case(
            f"answer-{size}k",
            f"stream of {size},000 tokens",
            "stream",
            contenders,
            tokens=size * 1000,
        )
        for size, contenders in (
            (2, _GROWING),
            (20, _GROWING),
            # The text that the LlamaIndex floor accumulates grows with the square: 10 s a round.
            (80, [name for name in _GROWING if name != "llama-index-floor"]),
        )
    ),
    Case(
        "letters",
        "stream, a character an event, 64 KiB chunks; a token is a word",
        "stream",
        # The text that the LlamaIndex floor accumulates grows with the square.
        ("langchain-floor", *_OURS),
        tokens=20_000,
        delivery="letters",
    ),
    Case(
        "engines",
        "engines of LlamaIndex, an event per HTTP chunk",
        "stream",
        ("httpx", "llama-index-floor", "Dify", "DifyQueryEngine", "DifyChatEngine"),
        tokens=2500,
    ),
    Case(
        "search",
        "200 searches in a knowledge base, ten passages each",
        "invoke",
        ("httpx-search", "retriever-langchain", "retriever-llama-index"),
        "us/call",
        tokens=500,
        times=200,
    ),
    Case(
        "agent",
        "100 runs of an agent with one tool",
        "invoke",
        ("httpx", "agent-floor", "agent"),
        "us/call",
        tokens=5,
        times=100,
    ),
    Case(
        "histories",
        "a call after 10, 100 and 1,000 turns",
        "invoke",
        [f"{name}-{turns}" for name in ("ChatDify", "Dify") for turns in (10, 100, 1000)],
        "us/call",
        tokens=5,
        times=30,
    ),
    Case("construct", "constructing a model object", "construct", _CALLS, "us", times=1000),
    Case(
        "memory",
        "memory per open stream, 90 open",
        "memory",
        ("httpx", "aiohttp", *_OURS, *_MODELS),
        "KiB",
        tokens=5,
        delivery="hold",
        streams=90,
        fresh=True,
    ),
    Case(
        "streams-200",
        "200 concurrent astreams, an event each every 15 ms",
        "astream",
        ("aiohttp", *_BUILDING, *_OURS, "ChatOpenAI"),
        tokens=60,
        delivery="every-15",
        streams=200,
    ),
    Case(
        "streams-1000",
        "1,000 concurrent astreams, an event each every 40 ms",
        "astream",
        ("aiohttp", *_BUILDING, *_OURS, "ChatOpenAI"),
        tokens=40,
        delivery="every-40",
        streams=1000,
    ),
)

IMPORTS = {
    "langchain_core.language_models": "import langchain_core.language_models",
    "BaseChatModel": "from langchain_core.language_models import BaseChatModel",
    "langchain_dify": "import langchain_dify",
    "ChatDify": "from langchain_dify import ChatDify",
    "ChatOpenAI": "from langchain_openai import ChatOpenAI",
    "ChatMistralAI": "from langchain_mistralai import ChatMistralAI",
    "llama_index.core.llms": "import llama_index.core.llms",
    "LLM": "from llama_index.core.llms import LLM",
    "llama_index_dify": "import llama_index_dify",
    "Dify": "from llama_index_dify import Dify",
    "OpenAILike": "from llama_index.llms.openai_like import OpenAILike",
    "httpx": "import httpx",
    "dify_api": "import dify_api",
    "LocalDify": "from dify_local import LocalDify",
}
"""Import statements by name; each is timed in fresh processes."""


def quick(case: Case) -> Case:
    """The case small enough for a check that everything works."""
    return replace(
        case,
        tokens=min(case.tokens, 50),
        times=min(case.times, 10),
        streams=min(case.streams, 10),
    )
