"""One Dify app through LangChain and through LlamaIndex: tokens, sources, usage, memory.

Runs against a local app, or against yours with DIFY_BASE_URL and DIFY_API_KEY set:

    python demo.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from llama_index.core.llms import ChatMessage, MessageRole

from dify_api.errors import DifyError
from dify_local import app_from_environment
from langchain_dify import ChatDify, citations
from llama_index_dify import Dify, source_nodes

QUESTIONS = [
    "Which planets have rings?",
    "And which of those has the most moons?",
]


def with_langchain() -> None:
    model = ChatDify(user="demo")
    history: list[BaseMessage] = []
    for question in QUESTIONS:
        ask(question)
        history.append(HumanMessage(question))
        answer: AIMessageChunk | None = None
        for chunk in model.stream(history):
            say(chunk.text)
            answer = chunk if answer is None else answer + chunk
        assert answer is not None
        history.append(answer)
        show_sources(
            (d.metadata["title"], d.metadata["score"], d.page_content) for d in citations(answer)
        )
        usage = answer.usage_metadata or {"total_tokens": 0}
        price = answer.response_metadata.get("total_price")
        show_facts(usage["total_tokens"], price, answer.response_metadata["conversation_id"])


def with_llama_index() -> None:
    model = Dify(user="demo")
    history: list[ChatMessage] = []
    for question in QUESTIONS:
        ask(question)
        history.append(ChatMessage(role=MessageRole.USER, content=question))
        for response in model.stream_chat(history):
            say(response.delta or "")
        history.append(response.message)
        show_sources(
            (node.metadata["title"], node.score, node.text) for node in source_nodes(response)
        )
        facts = response.raw
        usage = facts["usage"] or {"total_tokens": 0}
        show_facts(usage["total_tokens"], usage.get("total_price"), facts["conversation_id"])


def ask(question: str) -> None:
    print(f"\nQ: {question}\nA: ", end="")


def say(text: str) -> None:
    print(text, end="", flush=True)


def show_sources(sources: Iterable[tuple[str, float | None, str]]) -> None:
    print("\n\n   # | score | source               | passage")
    print("  ---+-------+----------------------+" + "-" * 48)
    for position, (title, score, passage) in enumerate(sources, 1):
        relevance = f"{score:.2f}" if score is not None else "  - "
        line = " ".join(passage.split())
        print(f"  {position:2d} | {relevance:>5} | {title or '':20.20} | {line:.47}")


def show_facts(tokens: int, price: object, conversation_id: str) -> None:
    cost = f", price {price}" if price is not None else ""
    print(f"\n   usage: {tokens} tokens{cost}; conversation {conversation_id}")


def main() -> int:
    print(f"Asking the app at {ChatDify().base_url}")
    try:
        print("\n== LangChain: ChatDify ==")
        with_langchain()
        print("\n== LlamaIndex: Dify ==")
        with_llama_index()
    except DifyError as error:
        print(f"\n\nThe app did not answer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with app_from_environment():
        sys.exit(main())
