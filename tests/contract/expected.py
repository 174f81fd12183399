"""What a recording says, read straight from its JSON: an oracle that shares no code with us.

The rules are those of the README: which text is the answer, and what counts as a failure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.cassettes import Exchange


@dataclass
class Expected:
    """The outcome of one exchange."""

    failed: bool = False
    code: str | None = None
    status: int | None = None
    text: str = ""
    streamed: str = ""
    conversation_id: str | None = None
    message_id: str | None = None
    total_tokens: int | None = None
    segment_ids: list[str | None] = field(default_factory=list)


def expected(exchange: Exchange) -> Expected:
    if exchange.is_stream:
        return _of_stream(exchange.body)
    try:
        body = json.loads(exchange.body)
    except ValueError:
        body = {}
    if exchange.status >= 400:
        slugs = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}
        return Expected(
            failed=True,
            code=body.get("code") or slugs.get(exchange.status),
            status=exchange.status,
        )
    if not isinstance(body, dict) or body.get("event") == "workflow_paused":
        paused = body if isinstance(body, dict) else {}
        return Expected(failed=True, text=paused.get("answer") or "")
    return _take_end(
        Expected(
            text=body["answer"],
            conversation_id=body.get("conversation_id"),
            message_id=body["message_id"],
        ),
        body.get("metadata") or {},
    )


def _of_stream(body: bytes) -> Expected:
    frames = [
        json.loads(frame.removeprefix(b"data: "))
        for frame in body.split(b"\n\n")
        if frame.startswith(b"data: ")
    ]
    result = Expected()
    agent = any(
        frame["event"] == "agent_message" or frame["event"] == "agent_thought" for frame in frames
    )
    closing: str | None = None
    replaced: str | None = None
    finished: dict[str, Any] | None = None
    ended = False
    for frame in frames:
        event = frame["event"]
        result.conversation_id = result.conversation_id or frame.get("conversation_id")
        result.message_id = result.message_id or frame.get("message_id")
        if event in ("message", "agent_message", "message_file") and "answer" in frame:
            if event == "message" and agent:
                closing = frame["answer"]
            else:
                result.streamed += frame["answer"]
        elif event == "message_replace":
            replaced = frame["answer"]
        elif event == "message_end":
            ended = True
            _take_end(result, frame.get("metadata") or {})
        elif event == "workflow_finished":
            finished = finished or frame["data"]
            if finished["status"] == "failed" and not ended:
                result.failed = True
        elif event == "error":
            result.failed = True
            result.code, result.status = frame["code"], frame["status"]
        elif event == "workflow_paused":
            result.failed = True
    if not ended and finished is None:
        result.failed = True  # cut before its end (or paused, or an error)
    if finished is not None and finished["status"] == "stopped":
        # By somebody, not by the client that reads this; moderation stops with an answer.
        result.failed = "moderation" not in (finished["error"] or "")
    succeeded = finished is not None and finished["status"] in ("succeeded", "partial-succeeded")
    result.text = result.streamed
    if succeeded and finished is not None and "answer" in (finished["outputs"] or {}):
        result.text = finished["outputs"]["answer"]
    if closing is not None:
        result.text = closing
    if replaced is not None:
        result.text = replaced
    return result


def _take_end(result: Expected, metadata: dict[str, Any]) -> Expected:
    usage = metadata.get("usage")
    if usage:
        parts = usage["prompt_tokens"] + usage["completion_tokens"]
        result.total_tokens = usage["total_tokens"] or parts  # 0 for agents of 0.15.3
    result.segment_ids = [r["segment_id"] for r in metadata.get("retriever_resources") or []]
    return result
