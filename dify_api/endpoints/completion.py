"""Completion messages: completion apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from dify_api.answers.answer import Answer
from dify_api.endpoints.response_mode import ResponseMode
from dify_api.operation import Operation, path, require, without_none


def send_message(
    inputs: Mapping[str, Any],
    *,
    user: str,
    query: str | None = None,
    files: Sequence[Mapping[str, Any]] | None = None,
    response_mode: ResponseMode = "streaming",
    trace_id: str | None = None,
) -> Operation[Answer]:
    """Ask a completion app (`POST /completion-messages`).

    Args:
        inputs: Values of the app's variables; the prompt is usually `inputs["query"]`.
        user: Stable identifier of the end user, up to 255 characters.
        query: The prompt of the 2023 API, beside `inputs`; servers of today still accept it.
        files: File references, such as `files.reference(...)` makes them.
        response_mode: "streaming" (default) or "blocking".
        trace_id: Your trace id, letters, digits, "_" and "-" (1.7.0 and later).

    Raises:
        ValueError: If `user` is empty.

    Example:
        >>> client.send(send_message({"query": "A haiku about Saturn"}, user="ann")).text
        'Rings of ice and dust ...'
    """
    require(user, "user", "name the end user who asks")
    return Operation(
        "POST",
        "/completion-messages",
        Answer,
        json=without_none(
            {
                "inputs": dict(inputs),
                "query": query,
                "response_mode": response_mode,
                "files": list(files) if files else None,
                "trace_id": trace_id,
            }
        ),
        user=user,
        generates=True,
        stop_path="/completion-messages/{task_id}/stop",
    )


def stop(task_id: str, *, user: str) -> Operation[None]:
    """Stop a completion that is being generated (`POST /completion-messages/{task_id}/stop`).

    Args:
        task_id: From any event of the stream, or `stream.task_id`.
        user: The user who asked.
    """
    require(user, "user", "name the end user who asked")
    return Operation(
        "POST",
        path("/completion-messages/{}/stop", task_id),
        NoneType,
        json={},
        user=user,
        repeatable=True,
        stops=task_id,
    )
