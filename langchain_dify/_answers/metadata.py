"""The facts of an answer as LangChain keeps them: usage, price, ids, citations, files."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.ai import UsageMetadata

from dify_api._calls.input_message import MARK_NAMES, Marks
from dify_api.answers.answer import Answer
from dify_api.models import as_json
from langchain_dify._names import MODEL_NAME, MODEL_PROVIDER


def opening_metadata(answer: Answer, marks: Marks) -> dict[str, Any]:
    """What is known when an answer begins: enough to stop it, and to continue from it.

    Args:
        answer: The answer so far.
        marks: What makes an anchor of its ids; none, where it is not to be continued.
    """
    facts: dict[str, Any] = {"model_provider": MODEL_PROVIDER}
    if marks and answer.conversation_id:
        facts["conversation_id"] = answer.conversation_id
    if answer.task_id:
        facts["task_id"] = answer.task_id
    return {**facts, **marks}


def without_anchor(message: BaseMessage) -> BaseMessage:
    """The same message, but no conversation is continued from it, and no run stopped by it."""
    anchor = {"conversation_id", "task_id", *MARK_NAMES}
    kept = {k: v for k, v in message.response_metadata.items() if k not in anchor}
    return message.model_copy(update={"id": None, "response_metadata": kept})


def closing_metadata(answer: Answer, model: str) -> dict[str, Any]:
    """What is known when an answer has ended. Prices are exact decimals, as text.

    Args:
        answer: The answer.
        model: Name of the app as a model.
    """
    facts: dict[str, Any] = {
        "model_name": model,
        "finish_reason": answer.finish_reason,
        "workflow_run_id": answer.workflow_run_id,
        "annotation_reply": answer.annotation_reply,
        "created_at": answer.created_at.isoformat() if answer.created_at else None,
    }
    if answer.usage is not None:
        usage = as_json(answer.usage, exclude_none=True)
        facts["usage"] = usage
        facts["total_price"] = usage.get("total_price")
        facts["currency"] = usage.get("currency")
    if answer.retriever_resources:
        facts["retriever_resources"] = [
            as_json(r, exclude_none=True) for r in answer.retriever_resources
        ]
    if answer.lacks_message_end:
        facts["lacks_message_end"] = True
    if answer.forms:  # a New Agent asks; the turn is over all the same
        facts["forms"] = [as_json(form, exclude_none=True) for form in answer.forms]
    if answer.files:
        facts["files"] = [as_json(file, exclude_none=True) for file in answer.files]
    return {name: value for name, value in facts.items() if value is not None}


def tool_metadata(answer: Answer) -> dict[str, Any]:
    """What the message of a tool says of the answer: usage, price and ids."""
    closing = closing_metadata(answer, MODEL_NAME)
    facts = {
        "conversation_id": answer.conversation_id,
        "message_id": answer.message_id,
        "task_id": answer.task_id,
        **{name: closing.get(name) for name in _OF_TOOLS},
    }
    return {name: value for name, value in facts.items() if value}


_OF_TOOLS = ("workflow_run_id", "usage", "total_price", "currency")


def usage_metadata(answer: Answer) -> UsageMetadata | None:
    """Token counts; None where the server sent none."""
    if answer.usage is None:
        return None
    return UsageMetadata(
        input_tokens=answer.usage.prompt_tokens,
        output_tokens=answer.usage.completion_tokens,
        total_tokens=answer.usage.total_tokens,
    )
