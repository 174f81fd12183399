"""Executing runs in the background: starting them, and resuming those that paused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from dify_local._answers.directives import find_directive, obey
from dify_local._answers.reply import Reply, play
from dify_local._protocol.events import EventSource
from dify_local._protocol.values import JsonObject
from dify_local._runs import run_records
from dify_local._runs.generation import Generation
from dify_local._runs.graph import Graph
from dify_local._runs.human_input import HumanInputForm
from dify_local._runs.own_graph import OwnGraph
from dify_local._runs.service import Service
from dify_local._runs.workflow_run import WorkflowRun

# How long a resumed run waits for somebody to watch it, so that no text is lost on the way.
_WATCHER_GRACE = 0.5

# Forms that live longer expire unseen: a task for each would be too much.
_LONGEST_WATCH = 600

_SAVED_AT = frozenset({"workflow_started", "workflow_finished", "workflow_paused", "message_end"})


def start(service: Service, generation: Generation) -> WorkflowRun:
    """Begin a run in the background and return it."""
    run = WorkflowRun(generation)
    run.variables = _variables(service, run)
    service.runs[run.id] = run
    service.in_background(_drive(service, run, _graph(service, run).from_start()))
    return run


def resume(
    service: Service, run: WorkflowRun, form: HumanInputForm, inputs: JsonObject, action: str
) -> None:
    """Fill in a form of a paused run and let it go on.

    Of two forms that are filled in at once real servers lose the run: it stays paused for ever.

    Raises:
        ApiError: The form was answered before, or the answer does not fit it.
    """
    if directive := find_directive(str(inputs.get("comment", ""))):
        obey(*directive)  # refuses what cannot be obeyed
    form.submit(inputs, action, service.uploads.file_of_form)
    if run.status != "paused":
        return
    run.choose(form)
    run.answered.append(form)
    run.status = "running"
    # Written down before anybody is told, so that nothing answered is ever lost.
    run_records.save(service, run)
    go_on(service, run)


def go_on(service: Service, run: WorkflowRun) -> None:
    """Let a run go on from its form, which has been filled in."""
    run.is_resuming = True
    if not run.further:
        reply, after = run.generation.reply, _after(run.answered)
        reply.steps, reply.thinks = after.steps, after.thinks
        run.answered.clear()
    service.in_background(_resumed(service, run))


def _after(answered: Sequence[HumanInputForm]) -> Reply:
    """Return what is said after forms; the comment of a single one can be a directive, too."""
    directive = find_directive(answered[0].said) if len(answered) == 1 else None
    if directive:
        return obey(*directive)
    said = [text for form in answered for text in (f"\n{form.action_title}: ", form.said)]
    return Reply(play(said))


def _graph(service: Service, run: WorkflowRun) -> Graph:
    app = run.generation.app
    own = app.nodes or app.outputs is not None
    return OwnGraph(service, run) if own else Graph(service, run)


async def _resumed(service: Service, run: WorkflowRun) -> None:
    await run.wait_for_watcher(_WATCHER_GRACE)
    run.is_resuming = False
    await _drive(service, run, _graph(service, run).from_form())


async def _expiring(service: Service, run: WorkflowRun) -> None:
    """Let a run go on without its form, once that has expired."""
    form = run.form
    assert form is not None  # noqa: S101 - only a run with a form waits
    await asyncio.sleep(max(0.0, form.expiration_time - time.time()))
    if run.status == "paused" and run.form is form and form.submitted is None:
        form.expire()
        run.status = "running"
        run.generation.reply.steps = play(["\nNobody has answered in time."])
        await _drive(service, run, _graph(service, run).from_expired_form())


async def _drive(service: Service, run: WorkflowRun, events: EventSource) -> None:
    task_id = run.generation.task_id
    service.generations[task_id] = run.generation
    try:
        async for event in events:
            if event["event"] in _SAVED_AT:
                run_records.save(service, run)
            run.publish(event)
    finally:
        service.generations.pop(task_id, None)
        if run.form:
            service.forms[run.id] = run
            if run.status == "paused" and run.form.expires_within(_LONGEST_WATCH):
                service.in_background(_expiring(service, run))
        if run.status != "paused":
            service.runs.pop(run.id, None)
        run.publish(None)


def _variables(service: Service, run: WorkflowRun) -> JsonObject:
    generation = run.generation
    files = [service.uploads.file_variable(file) for file in generation.files]
    variables = {**generation.inputs, "sys.files": files}
    if run.chatflow:
        history = service.conversations.history(generation.conversation_id or "")
        variables["sys.query"] = generation.query
        variables["sys.dialogue_count"] = len(history) + 1
    variables["sys.user_id"] = generation.end_user.session_id
    variables["sys.app_id"] = generation.app.id
    variables["sys.workflow_id"] = generation.app.workflow_id
    variables["sys.workflow_run_id"] = run.id
    return variables
