"""Errors as JSON, as checkpoints keep them."""

from __future__ import annotations

from typing import Any

from dify_api import errors
from dify_api._calls.end_user import private_answer
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError
from dify_api.models import as_json

_FACTS = ("code", "status", "operation", "hint", "retry_after")


def kept_error(error: DifyError) -> dict[str, Any]:
    """An error as JSON, with the answer as far as it came."""
    facts: dict[str, Any] = {name: getattr(error, name) for name in _FACTS}
    if error.answer is not None:
        facts["answer"] = as_json(private_answer(error.answer), exclude_none=True)
    return {"kind": _known(type(error)).__name__, "message": error.message, **facts}


def told_error(kept: dict[str, Any]) -> DifyError:
    """The error that was kept."""
    facts = {name: kept.get(name) for name in _FACTS}
    kind: type[DifyError] = getattr(errors, kept["kind"], DifyError)
    answer = Answer.model_validate(kept["answer"]) if "answer" in kept else None
    return kind(kept["message"], answer=answer, **facts)


def _known(kind: type[DifyError]) -> type[DifyError]:
    """The nearest class of `dify_api.errors`."""
    bases = (base for base in kind.__mro__ if issubclass(base, DifyError))
    found: type[DifyError] = next(
        base for base in bases if getattr(errors, base.__name__, None) is base
    )
    return found
