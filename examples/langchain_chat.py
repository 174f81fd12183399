"""Ask a Dify app and follow up: streamed text, citations, usage, and the conversation that goes on.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY against yours:

    python langchain_chat.py "Which planet has the most moons?" "And which is largest?"
"""

from __future__ import annotations

import sys
from functools import reduce
from operator import add

from langchain_core.messages import BaseMessage, HumanMessage

from dify_local import app_from_environment
from langchain_dify import ChatDify, citations

QUESTIONS = ["Which planet has the most moons?", "And which of those is the largest?"]


def main() -> None:
    history: list[BaseMessage] = []
    model = ChatDify(user="example")
    for question in sys.argv[1:] or QUESTIONS:
        print(f"Q: {question}\nA: ", end="")
        history.append(HumanMessage(question))
        chunks = []
        for chunk in model.stream(history):
            print(chunk.text, end="", flush=True)
            chunks.append(chunk)
        answer = reduce(add, chunks)
        history.append(answer)
        print()
        for number, document in enumerate(citations(answer), 1):
            print(f"   [{number}] {document.metadata['source']}: {document.page_content[:60]}…")
        facts, usage = answer.response_metadata, answer.usage_metadata or {}
        print(f"   {usage.get('total_tokens')} tokens, {facts.get('total_price')}", end=" ")
        print(f"{facts.get('currency')}, conversation {facts['conversation_id']}\n")


if __name__ == "__main__":
    with app_from_environment():
        main()
