"""The answer that every contender is given: the same tokens, in Dify's format and in OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

QUESTION = "Which planet has most moons, and why?"
DATASET = "d5fe9998-36a0-4e85-874b-33c7a2f62711"
_WORDS = (
    "Saturn has more moons than any other planet : 146 of them are known , most no larger than a "
    "few kilometres \u2014 captured , broken , or left from the rings . J\u00fapiter follows ."
)
_TASK = "dfc265dc-a84e-4dad-910a-f70c80cf2a51"
_MESSAGE = "20f9145f-05e3-41a3-a2b1-8e2b1d15ca7d"
_CONVERSATION = "7719ddd9-4712-4851-8f63-77234b3d88d8"
_CREATED_AT = 1795293715


@lru_cache(maxsize=8)
def tokens(count: int) -> tuple[str, ...]:
    """The first `count` tokens of the answer, most of them a word and a space."""
    return tuple(islice(cycle(f"{word} " for word in _WORDS.split(" ")), count))


@lru_cache(maxsize=8)
def text(count: int) -> str:
    """The answer of `count` tokens as one string."""
    return "".join(tokens(count))


def pieces(count: int, by_letter: bool) -> tuple[str, ...]:
    """The answer of `count` tokens in pieces of a token, or of a character, each."""
    return tuple(text(count)) if by_letter else tokens(count)


def dify_events(count: int, by_letter: bool = False) -> list[bytes]:
    """The answer as a chat app of Dify 1.16 streams it, an event for each token (or character)."""
    ids = {
        "conversation_id": _CONVERSATION,
        "message_id": _MESSAGE,
        "created_at": _CREATED_AT,
        "task_id": _TASK,
        "id": _MESSAGE,
    }
    messages: Iterator[dict[str, Any]] = (
        {"event": "message", **ids, "answer": piece, "from_variable_selector": []}
        for piece in pieces(count, by_letter)
    )
    end = {"event": "message_end", **ids, "metadata": _metadata(count), "files": []}
    return [_event(frame) for frame in (*messages, end)]


def dify_reply(count: int) -> bytes:
    """The answer as Dify gives it to a blocking request."""
    return _json(
        {
            "event": "message",
            "task_id": _TASK,
            "id": _MESSAGE,
            "message_id": _MESSAGE,
            "conversation_id": _CONVERSATION,
            "mode": "chat",
            "answer": text(count),
            "metadata": _metadata(count),
            "created_at": _CREATED_AT,
        }
    )


@lru_cache(maxsize=8)
def retrieved(count: int) -> bytes:
    """The answer as ten passages that a search in a knowledge base finds."""
    every = tokens(count)
    size = -(-count // 10)
    return _json(
        {
            "query": {"content": QUESTION},
            "records": [
                _record(position, "".join(every[at : at + size]))
                for position, at in enumerate(range(0, count, size), start=1)
            ],
        }
    )


def _record(position: int, content: str) -> dict[str, Any]:
    segment = {
        "id": f"771cfd3b-c0d2-403e-90c6-{position:012}",
        "position": position,
        "document_id": "a038bd44-ce4a-438c-9524-f70e65ea4934",
        "content": content,
        "answer": None,
        "word_count": len(content),
        "tokens": 0,
        "keywords": ["moons"],
        "hit_count": 3,
        "enabled": True,
        "status": "completed",
        "created_at": _CREATED_AT,
        "document": {
            "id": "a038bd44-ce4a-438c-9524-f70e65ea4934",
            "data_source_type": "upload_file",
            "name": "saturn.md",
        },
    }
    return {"segment": segment, "child_chunks": [], "score": 1 - position / 100}


def openai_events(count: int) -> list[bytes]:
    """The answer as OpenAI's chat completions stream it, an event each."""
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": token}, None) for token in tokens(count)]
    deltas += [({}, "stop")]
    last = {"usage": _openai_usage(count)}
    return [
        *(
            _event(
                {
                    "id": "chatcmpl-CqJ5cYd0Yh0m7gNn2TzY3oQv1xkEu",
                    "object": "chat.completion.chunk",
                    "created": _CREATED_AT,
                    "model": "planets-1",
                    "service_tier": "default",
                    "system_fingerprint": "fp_b1442291a8",
                    "choices": [
                        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
                    ],
                    **(last if reason else {}),
                }
            )
            for delta, reason in deltas
        ),
        b"data: [DONE]\n\n",
    ]


def openai_reply(count: int) -> bytes:
    """The answer as OpenAI's chat completions give it to a blocking request."""
    message = {"role": "assistant", "content": text(count), "refusal": None}
    return _json(
        {
            "id": "chatcmpl-CqJ5cYd0Yh0m7gNn2TzY3oQv1xkEu",
            "object": "chat.completion",
            "created": _CREATED_AT,
            "model": "planets-1",
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            ],
            "usage": _openai_usage(count),
        }
    )


def _metadata(count: int) -> dict[str, Any]:
    usage = {
        "prompt_tokens": 32,
        "prompt_unit_price": "0.15",
        "prompt_price_unit": "0.000001",
        "prompt_price": "0.0000048",
        "completion_tokens": count,
        "completion_unit_price": "0.6",
        "completion_price_unit": "0.000001",
        "completion_price": "0.0001",
        "total_tokens": 32 + count,
        "total_price": "0.0001048",
        "currency": "USD",
        "latency": 1.25,
    }
    resource = {
        "position": 1,
        "dataset_id": DATASET,
        "dataset_name": "Planets",
        "document_id": "a038bd44-ce4a-438c-9524-f70e65ea4934",
        "document_name": "saturn.md",
        "data_source_type": "upload_file",
        "segment_id": "771cfd3b-c0d2-403e-90c6-e13f7bb9f0df",
        "retriever_from": "api",
        "score": 0.82,
        "content": "Saturn has 146 known moons, more than any other planet.",
    }
    return {"usage": usage, "retriever_resources": [resource]}


def _openai_usage(count: int) -> dict[str, int]:
    return {"prompt_tokens": 32, "completion_tokens": count, "total_tokens": 32 + count}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _event(frame: dict[str, Any]) -> bytes:
    return b"data: " + _json(frame) + b"\n\n"
