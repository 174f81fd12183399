"""Following a run that goes on without us: attaching to its events until it ends or pauses."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from dify_api._runs.flows import Pause
from dify_api._runs.steps import Course, Follow
from dify_api.answers._reader import AnswerReader
from dify_api.endpoints import workflows
from dify_api.errors import DifyError

PATIENCE = 2.0
"""Seconds for which an attached stream may bring pings alone, until we look where the run is: one
that paused anew, or ended, just before we attached says nothing by itself. Doubled each time."""
_LONGEST_PATIENCE = 60.0
OUT_OF_REACH = 30.0
"""Seconds for which a server that cannot be reached is tried again, as while it restarts."""

_LASTING = 1.0  # seconds: a stream that is cut sooner, time and again, is no progress
_CUTS = 7  # of such streams, one after the other, until it is given up


def pauses() -> Iterator[float]:
    """Seconds to wait between attempts: 0, then longer and longer."""
    yield 0.0
    for attempt in range(6):
        yield 0.1 * 2**attempt
    while True:
        yield 5.0


def followed(
    reader: AnswerReader, run_id: str, user: str, *, look_first: bool = False, again: bool = True
) -> Course:
    """Attach to a run, as often as needed, until its answer ends or pauses.

    Without a snapshot a stream brings what follows from then on; so do at first. A snapshot shows
    where the run is, which has to be known where nothing follows: it may have paused meanwhile.

    Args:
        reader: Reads the answer.
        run_id: The run.
        user: The end user who began it.
        look_first: Whether to begin with a snapshot.
        again: Whether to attach again where a connection breaks.

    Raises:
        DifyError: If the server refuses, or stays out of reach.
    """
    limit = reader.progress_timeout or math.inf
    snapshot, waits, since, patience = look_first, pauses(), time.monotonic(), PATIENCE
    cuts = 0
    while True:
        attached = time.monotonic()
        try:
            cause = yield _attach(run_id, user, snapshot, min(patience, limit))
        except DifyError as error:
            tried = time.monotonic() - since
            if not (again and error.retryable) or tried > min(limit, OUT_OF_REACH):
                raise
        else:
            broken_off = cause is not None and not again and not reader.is_silent
            if reader.is_settled or broken_off:
                return
            snapshot = True
            if reader.is_silent:
                patience = min(2 * patience, _LONGEST_PATIENCE)
            lasted = time.monotonic() - attached > _LASTING
            cuts = 0 if lasted else cuts + 1
            if lasted and reader.has_progressed:
                waits, since = pauses(), time.monotonic()
            elif cuts == _CUTS or time.monotonic() - since > limit:
                return
        yield Pause(next(waits))


def _attach(run_id: str, user: str, snapshot: bool, patience: float) -> Follow:
    operation = workflows.events(
        run_id, user=user, include_state_snapshot=snapshot, continue_on_pause=snapshot
    )
    return Follow(operation, patience)
