"""The end user in what others get to see: named by a hash, in dumps, reprs and traces alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from dify_api._calls.fingerprints import user_fingerprint

if TYPE_CHECKING:
    from dify_api.answers.answer import Answer

_PREFIX = "sha256:"
_CREATOR = "created_by"
"""Of a run: its `user` is the name."""

EventT = TypeVar("EventT", bound=BaseModel)


def shown_user(user: str) -> str:
    """What stands in the user's place in a dump or a repr.

    Example:
        >>> shown_user("ann@example.com")
        'sha256:2af4ec4a4c2c0d4b'
    """
    return user if user.startswith(_PREFIX) else _PREFIX + user_fingerprint(user)


def is_shown_user(user: object) -> bool:
    """Whether a text is such a hash, from which no user can be told."""
    return isinstance(user, str) and user.startswith(_PREFIX)


def without_user(value: Any, user: str) -> Any:
    """A JSON value with the hash wherever the user's name stands alone.

    Dify hands the name to its nodes, as `sys.user_id` and to whatever reads that variable.
    """
    if isinstance(value, dict):
        known = value.get("sys.user_id")
        user = known if isinstance(known, str) and known else user
        return {name: without_user(part, user) for name, part in value.items()}
    if isinstance(value, list):
        return [without_user(part, user) for part in value]
    return shown_user(user) if value == user else value


def private_event(event: EventT, user: str) -> EventT:
    """An event of a run, with the hash in place of the user's name in what it tells."""
    data = vars(event).get("data")
    if not isinstance(data, BaseModel):
        return event
    told = {
        name: without_user(value, user) for name, value in data if isinstance(value, dict | list)
    }
    return event.model_copy(update={"data": data.model_copy(update=told)}) if told else event


def private_answer(answer: Answer) -> Answer:
    """An answer whose run does not tell who started it."""
    run = answer.workflow
    creator = (run.model_extra or {}).get(_CREATOR) if run is not None else None
    if run is None or not isinstance(creator, dict) or not isinstance(creator.get("user"), str):
        return answer
    hidden = {**creator, "user": shown_user(creator["user"])}
    return answer.model_copy(update={"workflow": run.model_copy(update={_CREATOR: hidden})})
