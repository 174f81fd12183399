"""What is known of a call only when its answer has come, told to OpenInference's span of it.

LlamaIndex's events have no place for a session nor for a price; OpenInference hands out the span
of the current call.
"""

from __future__ import annotations

import sys
from typing import Any

from dify_api.answers._usage import SPAN_COSTS, costs_in_dollars
from dify_api.answers.answer import Answer

_SESSION_ID = "session.id"


def current_span() -> Any:
    """OpenTelemetry's span of the current call; None where OpenInference does not trace it."""
    module = sys.modules.get("openinference.instrumentation.llama_index")
    get_current_span = getattr(module, "get_current_span", None)
    return get_current_span() if callable(get_current_span) else None


def add_span_facts(span: Any, answer: Answer) -> None:
    """Tell a span of an answer's conversation, unless it has a session, and of its price."""
    if span is None or not span.is_recording():
        return
    told = getattr(span, "attributes", None) or {}
    if answer.conversation_id and not told.get(_SESSION_ID):
        span.set_attribute(_SESSION_ID, answer.conversation_id)
    for name, cost in costs_in_dollars(answer.usage, SPAN_COSTS).items():
        span.set_attribute(name, cost)
