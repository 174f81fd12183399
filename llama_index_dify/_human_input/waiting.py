"""Calls of apps within a step of a workflow, which wait for a person where the app does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from llama_index.core.workflow import Context

from dify_api._runs.resumption import FormValues, filled
from dify_api.answers.answer import Answer
from dify_api.answers.events import NodeExecution
from dify_api.errors import HumanInputFormExpiredError, WorkflowPausedError
from llama_index_dify._calls.resumed_call import Resumption
from llama_index_dify._human_input.paused_calls import PausedCall, StepCalls
from llama_index_dify._traced import waiting_errors
from llama_index_dify.human_input import DifyHumanResponseEvent, DifyInputRequiredEvent

Make = Callable[[Resumption | None], Awaitable[Answer]]
"""Makes a call, or goes on with it after a pause."""

_ASKED: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()


async def answered(
    context: Context[Any],
    make: Make,
    *,
    app: str,
    asked: object,
    nodes: list[NodeExecution] | None = None,
) -> Answer:
    """Make a call within a step; where the app waits for a person, so does the step.

    The app is asked once, however often LlamaIndex executes the step.

    Args:
        context: The run of the workflow. Outside of its steps a pause is the error it is.
        make: Makes the call.
        app: Name of the tool, agent or workflow.
        asked: What tells this call from others of the step, as JSON.
        nodes: Is given the nodes that ended before, and holds those that end.

    Raises:
        DifyError: If the app does not answer.
    """
    calls = StepCalls.of(context)
    if calls is None:
        return await make(None)
    nodes = [] if nodes is None else nodes
    call = await calls.find(_hash(app, asked))
    if call.answer is not None:
        nodes[:] = call.nodes
        if not call.is_paused:
            return call.answer
    resumption = await _resumption(context, calls, call, app) if call.is_paused else None
    while True:
        try:
            answer = await _made(make, resumption)
        except WorkflowPausedError as paused:
            call.answer, call.is_paused, call.error = paused.answer, True, None
            call.nodes, call.pauses = list(nodes), call.pauses + 1
            _await_anew(context, call)
            try:
                await calls.keep()
            except TypeError as error:  # nowhere: so the caller gets the pause
                raise paused from error
            resumption = await _resumption(context, calls, call, app)
        else:
            has_paused, call.is_paused = call.is_paused, False
            call.answer, call.nodes = answer, list(nodes)
            if has_paused:
                await calls.end(call)
            return answer


async def _made(make: Make, resumption: Resumption | None) -> Answer:
    try:
        return await make(resumption)
    except HumanInputFormExpiredError:
        if resumption is None or resumption.run_id is None:
            raise
        # Nobody filled it in time, and the run went on by itself.
        return await make(Resumption(resumption.run_id, resumption.values))


async def _resumption(
    context: Context[Any], calls: StepCalls, call: PausedCall, app: str
) -> Resumption:
    """Wait until a person has filled forms; in most cases by ending this execution of the step."""
    paused = call.answer or Answer()
    await _forget_waits(context, call)
    event: DifyInputRequiredEvent | None = _event(call, app)
    if _pause_id(call) not in _asked_in(context):  # but where the context was saved
        context.write_event_to_stream(event)
        _asked_in(context).add(_pause_id(call))
    while True:
        response = await context.wait_for_event(
            DifyHumanResponseEvent,
            waiter_event=event,
            waiter_id=_waiter_id(call, call.waits),
            requirements={"pause_id": _pause_id(call)},
            timeout=None,
        )
        event = None  # of another pause: LlamaIndex forgets requirements with the process
        if response.pause_id == _pause_id(call):
            if (error := _error(paused, response.form_values)) is None:
                return Resumption(paused, response.form_values)
            call.error, call.pauses = error, call.pauses + 1
            event = _event(call, app)
        _await_anew(context, call)
        await calls.keep()


async def _forget_waits(context: Context[Any], call: PausedCall) -> None:
    """Let LlamaIndex forget what was waited for before: it would execute the step for each."""
    for number in range(1, call.waits):
        with suppress(*waiting_errors()):
            await context.wait_for_event(
                DifyHumanResponseEvent, waiter_id=_waiter_id(call, number), timeout=None
            )


def _error(paused: Answer, values: FormValues) -> str | None:
    """Why the forms cannot be filled so."""
    try:
        filled(paused.forms, values)
    except ValueError as error:
        return str(error)
    return None


def _event(call: PausedCall, app: str) -> DifyInputRequiredEvent:
    answer = call.answer or Answer()
    return DifyInputRequiredEvent(
        pause_id=_pause_id(call),
        app=app,
        forms=answer.forms,
        text=answer.text,
        workflow_run_id=answer.workflow_run_id,
        error=call.error,
    )


def _await_anew(context: Context[Any], call: PausedCall) -> None:
    """Have LlamaIndex wait for something new, and tell of it."""
    call.waits += 1
    _asked_in(context).add(_pause_id(call))


def _asked_in(context: Context[Any]) -> set[str]:
    """The pauses that were told in the events of this run; a run that goes on is another one."""
    return _ASKED.setdefault(context.store, set())


def _pause_id(call: PausedCall) -> str:
    return f"{call.run_id}-{call.pauses}"


def _waiter_id(call: PausedCall, number: int) -> str:
    return f"dify-{call.run_id}-{number}"


def _hash(app: str, asked: object) -> str:
    text = json.dumps([app, asked], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
