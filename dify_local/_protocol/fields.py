"""Which fields an object has in which release: what came later is left out, what went is kept."""

from __future__ import annotations

from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject

_Version = tuple[int, ...]
_ALWAYS: _Version = (0, 0)
_STILL: _Version = (99, 0)

# By kind of object and field: the first release that has it, the first that no longer has it.
_FIELDS: dict[str, dict[str, tuple[_Version, _Version]]] = {
    "node": {
        "inputs_truncated": ((1, 9), _STILL),
        "process_data_truncated": ((1, 9), _STILL),
        "outputs_truncated": ((1, 9), _STILL),
        "agent_strategy": ((1, 0), _STILL),
        "loop_id": ((1, 0, 1), _STILL),
        "parallel_id": (_ALWAYS, (1, 10)),
        "parallel_start_node_id": (_ALWAYS, (1, 10)),
        "parent_parallel_id": (_ALWAYS, (1, 10)),
        "parent_parallel_start_node_id": (_ALWAYS, (1, 10)),
        "parallel_run_id": (_ALWAYS, (1, 10)),
        "pre_iteration_output": (_ALWAYS, (1, 9)),
        "parallel_mode_run_id": (_ALWAYS, (1, 9)),
        "duration": (_ALWAYS, (1, 9)),
    },
    "run": {
        "sequence_number": (_ALWAYS, (1, 4, 2)),
        "reason": ((1, 13), _STILL),
    },
    "metadata": {"reasoning": ((1, 16), _STILL)},
    "usage": {"time_to_first_token": ((1, 10), _STILL), "time_to_generate": ((1, 10), _STILL)},
    "message": {
        "extra_contents": ((1, 13), _STILL),
        "total_tokens": ((1, 16), _STILL),
        "message_tokens": ((1, 16), _STILL),
        "answer_tokens": ((1, 16), _STILL),
        "provider_response_latency": ((1, 16), _STILL),
        "total_price": ((1, 16), _STILL),
        "currency": ((1, 16), _STILL),
    },
    "agent_thought": {
        "answer": ((1, 16), _STILL),
        "files": ((1, 4), _STILL),
        "message_files": (_ALWAYS, (1, 4)),
    },
    "replacement": {"reason": ((1, 3, 1), _STILL)},
    "upload": {
        "reference": ((1, 16), _STILL),
        "original_url": ((1, 0), _STILL),
        "user_id": ((1, 0), _STILL),
        "tenant_id": ((1, 0), _STILL),
        "conversation_id": ((1, 0), _STILL),
        "file_key": ((1, 0), _STILL),
        "source_url": ((1, 0), _STILL),
        "preview_url": ((1, 0), _STILL),
    },
    "site": {"input_placeholder": ((1, 16), _STILL)},
    "info": {"mode": ((1, 4), _STILL), "author_name": ((1, 4, 3), _STILL)},
    "citation": {
        "summary": ((1, 12), _STILL),
        "title": ((1, 0), _STILL),
        "files": ((1, 0), _STILL),
        "doc_metadata": ((1, 0), _STILL),
    },
}


def known(release: Release, kind: str, value: JsonObject) -> JsonObject:
    """Return an object with the fields that a release knows.

    Args:
        release: The release that is shown.
        kind: What the object is: `node`, `run`, `metadata`, `usage`, `message`, `agent_thought`,
            `replacement`, `upload`, `site`, `info` or `citation`.
        value: The object with the fields of every release.

    Example:
        >>> known(Release("1.12.1"), "run", {"id": "1", "sequence_number": 1, "reason": "initial"})
        {'id': '1'}
    """
    fields = _FIELDS[kind]
    return {name: item for name, item in value.items() if _has(release, fields.get(name))}


def _has(release: Release, span: tuple[_Version, _Version] | None) -> bool:
    return span is None or (release.since(*span[0]) and not release.since(*span[1]))
