"""The tasks that this process has stopped: to end so is no error of their answers."""

from __future__ import annotations

from collections import OrderedDict

_KEPT = 1000

_stopped: OrderedDict[str, None] = OrderedDict()


def note_stop(task_id: str) -> None:
    """Take note of a stop, before it is asked for."""
    _stopped[task_id] = None
    while len(_stopped) > _KEPT:
        _stopped.popitem(last=False)


def is_stopped_here(task_id: str | None) -> bool:
    """Whether this process asked for a task to be stopped, among the last thousand."""
    return task_id in _stopped
