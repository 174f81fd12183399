"""The ready-made apps: one for every mode of Dify's reference, and two for demonstrations."""

from __future__ import annotations

from dify_local._apps.app import App
from dify_local._apps.controls import Control

_CHAT_FEATURES = frozenset({"citations", "suggestions", "speech"})
_TAGS = ("solar system",)
_QUESTIONS = ("Which planet has the most moons?", "How long is a day on Mars?")

APPS: tuple[App, ...] = (
    App(
        "chat",
        "chat",
        "Solar System Chat",
        "Answers questions about the solar system from a knowledge base, with citations.",
        opening="Hello! Ask me about the solar system.",
        suggested_questions=_QUESTIONS,
        files=True,
        features=_CHAT_FEATURES,
        tags=_TAGS,
    ),
    App(
        "agent-chat",
        "agent-chat",
        "Solar System Agent",
        "Answers questions about the solar system with a knowledge tool and a calculator.",
        files=True,
        tags=_TAGS,
    ),
    App(
        "advanced-chat",
        "advanced-chat",
        "Solar System Chatflow",
        "A chatflow that retrieves knowledge about the solar system and answers from it.",
        form=(Control("select", "lang", "Language", options=("en", "fr"), default="en"),),
        opening="Welcome! Ask me about the solar system.",
        suggested_questions=_QUESTIONS[:1],
        files=True,
        features=_CHAT_FEATURES,
        tags=_TAGS,
    ),
    App(
        "completion",
        "completion",
        "Solar System Completion",
        "Completes a query about the solar system from a knowledge base.",
        form=(
            Control("paragraph", "query", "Query", required=True, max_length=200_000),
            Control("select", "style", "Style", options=("formal", "casual"), default="formal"),
        ),
        files=True,
        features=frozenset({"citations", "speech"}),
        tags=_TAGS,
    ),
    App(
        "workflow",
        "workflow",
        "Solar System Report",
        "Writes a short report about a topic of the solar system.",
        form=(
            Control("paragraph", "text", "Text", required=True, max_length=100_000),
            Control("select", "style", "Style", options=("formal", "casual")),
            Control("number", "count", "Number of sentences"),
            Control("text-input", "title", "Title", max_length=100),
            Control("checkbox", "shout", "Capital letters"),
            Control("json_object", "settings", "Settings"),
            Control("file", "document", "Document"),
            Control("file-list", "attachments", "Attachments", max_length=5),
        ),
        tags=_TAGS,
    ),
    App(
        "agent",
        "agent",
        "Solar System New Agent",
        "A New Agent that looks things up about the solar system.",
        opening="Hi from the new agent.",
        files=True,
        tags=_TAGS,
    ),
    App(
        "planner",
        "chat",
        "Tool Planner",
        "Picks a tool from the prompt by a fixed policy, and answers from the tools' results.",
        features=frozenset(),
        tags=_TAGS,
    ),
    App(
        "greeter",
        "chat",
        "Greeter",
        "A chat app with an input form, to show how inputs are checked.",
        form=(
            Control("text-input", "name", "Name", required=True, max_length=20),
            Control("select", "tone", "Tone", required=True, options=("warm", "cold")),
            Control("number", "age", "Age"),
            Control("checkbox", "polite", "Polite", default=False),
        ),
        features=frozenset(),
        tags=_TAGS,
    ),
)
