"""A conversation with a Dify app through LlamaIndex: tokens as they come, sources, usage.

    python llama_index_chat.py

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

from llama_index.core.llms import ChatMessage

from dify_local import app_from_environment
from llama_index_dify import Dify, DifyChatEngine, source_nodes

QUESTIONS = ["Which planet has most moons?", "And which of those is the largest?"]


def as_a_model(llm: Dify) -> None:
    """The messages carry the conversation: only what is new is sent."""
    history: list[ChatMessage] = []
    for question in QUESTIONS:
        print(f"\nQ: {question}\nA: ", end="")
        history.append(ChatMessage(question))
        for response in llm.stream_chat(history):
            print(response.delta, end="", flush=True)
        history.append(response.message)
        for node in source_nodes(response):
            print(f"\n   {node.score or 0:.2f}  {node.metadata['document_name']}", end="")
        told = response.additional_kwargs
        print(f"\n   {told['total_tokens']} tokens, conversation {told['conversation_id']}")


def as_a_chat_engine(llm: Dify) -> None:
    """The engine keeps the messages; leaving a stream early stops the app."""
    engine = DifyChatEngine(llm)
    print(f"\nQ: {QUESTIONS[0]}\nA: {engine.chat(QUESTIONS[0])}")
    with engine.stream_chat(QUESTIONS[1]) as response:
        print(f"\nQ: {QUESTIONS[1]}\nA: ", end="")
        for number, token in enumerate(response.response_gen):
            print(token, end="", flush=True)
            if number == 8:
                break
    print(f"\n   stopped; the history has {len(engine.chat_history)} messages")


def main() -> None:
    llm = Dify(user="ann")
    as_a_model(llm)
    as_a_chat_engine(llm)


if __name__ == "__main__":
    with app_from_environment():
        main()
