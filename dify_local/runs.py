"""Starting, resuming, keeping and finding runs."""

from __future__ import annotations

from dify_local.conversations import message_object
from dify_local.generation import Generation
from dify_local.graph import Graph
from dify_local.run_events import RunEvents
from dify_local.service import Service
from dify_local.steps import play
from dify_local.store import EndUser, body, dump
from dify_local.stream import EventSource
from dify_local.wire import JsonObject, new_id, now, spaced_json
from dify_local.workflow_run import WorkflowRun

# How long a resumed run waits for somebody to watch it, so that no text is lost on the way.
_WATCHER_GRACE = 0.5

_SAVED_AT = frozenset({"workflow_started", "workflow_finished", "workflow_paused", "message_end"})


def start(service: Service, generation: Generation) -> WorkflowRun:
    """Begin a run in the background and return it."""
    run = WorkflowRun(generation)
    run.variables = _variables(service, run)
    service.runs[run.id] = run
    service.in_background(_drive(service, run, Graph(service, run).from_start()))
    return run


def resume(service: Service, run: WorkflowRun, inputs: JsonObject, action: str) -> None:
    """Fill in the form of a paused run and let it go on.

    Raises:
        ApiError: The form was answered before, or the answer does not fit it.
    """
    form = run.form
    assert form is not None  # noqa: S101 - found by its form
    form.submit(inputs, action)
    run.status = "running"
    comment = str(inputs["comment"])
    run.generation.reply.steps = play([f"\n{form.action_title}: ", comment])
    service.in_background(_resumed(service, run))


async def _resumed(service: Service, run: WorkflowRun) -> None:
    await run.wait_for_watcher(_WATCHER_GRACE)
    await _drive(service, run, Graph(service, run).from_form())


async def _drive(service: Service, run: WorkflowRun, events: EventSource) -> None:
    task_id = run.generation.task_id
    service.generations[task_id] = run.generation
    try:
        async for event in events:
            if event["event"] in _SAVED_AT:
                save(service, run)
            run.publish(event)
    finally:
        service.generations.pop(task_id, None)
        if run.form:
            service.forms[run.id] = run
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


def save(service: Service, run: WorkflowRun) -> None:
    """Write down what is known of a run, and of the message of a chatflow."""
    generation = run.generation
    record = {
        **run.finished_data(),
        "inputs": run.variables,
        "log_id": new_id(),
        "session_id": generation.end_user.session_id,
    }
    service.store.execute(
        "INSERT INTO runs (id, app_id, end_user_id, status, body) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET status = excluded.status, body = excluded.body",
        run.id, generation.app.id, generation.end_user.id, run.status, dump(record),
    )  # fmt: skip
    if run.chatflow:
        message = _message(service, run)
        service.conversations.save_message(
            generation.app.id, generation.end_user, generation.conversation_id or "", message
        )


def _message(service: Service, run: WorkflowRun) -> JsonObject:
    generation, usage = run.generation, run.generation.usage()
    message = message_object(
        generation.message_id,
        generation.conversation_id or "",
        generation.query,
        generation.inputs,
    )
    uploads = service.uploads
    status = {"failed": "error", "paused": "paused"}.get(run.status, "normal")
    message.update(
        created_at=generation.created_at,
        answer="" if run.status == "failed" else generation.answer,
        status=status,
        error=run.error if status == "error" else None,
        retriever_resources=RunEvents(service, run).citations(),
        message_files=[uploads.message_file(file) for file in generation.files],
        message_tokens=usage["prompt_tokens"],
        answer_tokens=usage["completion_tokens"],
        total_tokens=usage["total_tokens"],
        total_price=usage["total_price"],
        provider_response_latency=usage["latency"],
        extra_contents=[run.form.extra_content(run.id)] if run.form else [],
    )
    return message


def find(
    service: Service, app_id: str, run_id: str, end_user: EndUser | None = None
) -> JsonObject | None:
    """Return what is written down of a run, or None.

    Args:
        service: The running service.
        app_id: The app it must belong to.
        run_id: Which.
        end_user: The person it must belong to, if that matters.
    """
    row = service.store.row(
        "SELECT body FROM runs WHERE id = ? AND app_id = ? "
        "AND end_user_id = COALESCE(?, end_user_id)",
        run_id, app_id, end_user.id if end_user else None,
    )  # fmt: skip
    return body(row) if row else None


def all_of(service: Service, app_id: str) -> list[JsonObject]:
    """Return what is written down of all runs of an app, newest first."""
    rows = service.store.rows(
        "SELECT body FROM runs WHERE app_id = ? ORDER BY sequence DESC", app_id
    )
    return [body(row) for row in rows]


def detail(record: JsonObject, *, objects: bool) -> JsonObject:
    """Return what `GET /workflows/run/{workflow_run_id}` shows.

    Args:
        record: What is written down of the run.
        objects: Whether `outputs` is an object (1.13 and later) or JSON text.
    """
    paused = record["status"] in {"paused", "running"}
    return {
        "id": record["id"],
        "workflow_id": record["workflow_id"],
        "status": record["status"],
        "inputs": spaced_json(record["inputs"]),
        "outputs": record["outputs"] if objects else spaced_json(record["outputs"]),
        "error": record["error"],
        "total_steps": record["total_steps"],
        "total_tokens": record["total_tokens"],
        "created_at": record["created_at"],
        "finished_at": None if paused else record["finished_at"],
        "elapsed_time": 0.0 if paused else record["elapsed_time"],
    }


def refused(app_workflow_id: str, message: str) -> tuple[JsonObject, JsonObject]:
    """Return the two events with which 1.16 refuses a stream that has begun already."""
    run_id = new_id()
    common = {"id": run_id, "workflow_id": app_workflow_id, "created_at": now()}
    started = {**common, "inputs": {}, "reason": "initial"}
    finished = {
        **common,
        "status": "failed",
        "outputs": None,
        "error": message,
        "elapsed_time": 0.0,
        "total_tokens": 0,
        "total_steps": 0,
        "created_by": {},
        "finished_at": now(),
        "exceptions_count": 1,
        "files": [],
    }
    ids = {"task_id": run_id, "workflow_run_id": run_id}
    return (
        {"event": "workflow_started", **ids, "data": started},
        {"event": "workflow_finished", **ids, "data": finished},
    )
