"""Workflow runs: starting, stopping, watching, and looking them up afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._apps.app import App
from dify_local._apps.inputs import checked_inputs
from dify_local._http.canned_events import canned_stream
from dify_local._http.event_stream import EventStream
from dify_local._http.payloads import WorkflowLogQuery, WorkflowRunPayload
from dify_local._http.requests import (
    Call,
    app_call,
    check_trace_session_id,
    json_call,
    query_call,
    require_uuid,
    require_workflow_app,
)
from dify_local._http.responses import json_response
from dify_local._protocol.errors import ApiError, bad_request, not_found
from dify_local._protocol.events import PING, EventSource
from dify_local._protocol.values import JsonObject, is_uuid, new_id, spaced_json
from dify_local._runs import execution, run_records, saved_runs
from dify_local._runs.generation import Generation
from dify_local._runs.run_events import RunEvents, refused_run
from dify_local._runs.workflow_run import WorkflowRun


async def run_workflow(request: Request) -> Response:
    """`POST /workflows/run`."""
    call = await json_call(request)
    require_workflow_app(call.app)
    return await _run(call)


async def run_version(request: Request) -> Response:
    """`POST /workflows/{workflow_id}/run`: a published version."""
    call = await json_call(request)
    require_workflow_app(call.app)
    require_published(call.app, call.path("workflow_id"))
    return await _run(call)


def require_published(app: App, workflow_id: str) -> None:
    """Refuse an id that is not that of the app's published workflow."""
    if not is_uuid(workflow_id):
        raise bad_request(f"Invalid workflow_id format: '{workflow_id}'. ")
    if workflow_id != app.workflow_id:
        raise not_found(f"Workflow not found with id: {workflow_id}")


async def _run(call: Call) -> Response:
    check_trace_session_id(call)
    payload = call.payload(WorkflowRunPayload)
    streaming = payload.response_mode == "streaming"
    try:
        generation = _generation(call, payload)
    except ApiError as error:
        # From 1.13 on a worker checks the inputs, when the stream has begun already.
        if streaming and call.service.release.resumable:
            return refusal_stream(call, error)
        raise
    if generation.reply.events is not None:
        return canned_stream(call, generation, generation.reply.events, streaming=streaming)
    run = execution.start(call.service, generation)
    if streaming:
        return run_stream(call, run)
    async for _ in run.watch():
        pass
    return json_response(_blocking(call, run), generation=True)


def _generation(call: Call, payload: WorkflowRunPayload) -> Generation:
    service = call.service
    inputs, inside = with_files(call, checked_inputs(call.app, payload.inputs))
    files = service.uploads.attach(call.app.id, call.end_user, payload.files, new_id())
    images = service.images([*files, *inside])
    query = call.app.question(inputs)
    reply = service.responder.reply(call.app, query, inputs, images=images)
    return Generation(call.app, call.end_user, query, inputs, files, reply, service.pace)


def with_files(call: Call, inputs: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """Return the inputs with those of file controls as workflows hold files, and these files."""
    files: list[JsonObject] = []
    for control in call.app.form:
        if control.type in {"file", "file-list"}:
            value, more = _files(call, inputs.get(control.variable))
            inputs[control.variable] = value
            files.extend(more)
    return inputs, files


def _files(call: Call, value: object) -> tuple[object, list[JsonObject]]:
    """Return the value of a file variable, and its files."""
    if not value:
        return value, []
    uploads = call.service.uploads
    given = value if isinstance(value, list) else [value]
    files = uploads.attach(call.app.id, call.end_user, given, new_id())
    variables: list[JsonObject | None] = [uploads.file_variable(file) for file in files]
    return variables if isinstance(value, list) else (variables or [None])[0], files


def _blocking(call: Call, run: WorkflowRun) -> JsonObject:
    data = run.finished_data()
    for key in ("created_by", "exceptions_count", "files"):
        del data[key]
    if run.status == "paused":
        paused = RunEvents(call.service, run).pause()[-1]["data"]
        data.update(paused_nodes=paused["paused_nodes"], reasons=paused["reasons"])
    return {"task_id": run.generation.task_id, "workflow_run_id": run.id, "data": data}


def run_stream(call: Call, run: WorkflowRun) -> EventStream:
    """Return the events of a run that has just been started."""
    task_id, journal = run.generation.task_id, call.service.journal
    resumable = call.service.release.resumable
    events = _with_first_ping(run.watch()) if resumable else run.watch()
    spaced = not call.service.release.since(1, 8, 1)
    return EventStream(events, lambda: journal.add_disconnect(task_id), spaced=spaced)


def refusal_stream(call: Call, error: ApiError) -> EventStream:
    """Return the stream that ends at once, as newer releases refuse wrong inputs.

    1.16 says why; from 1.13 to 1.15 there is a ping and then nothing.
    """

    async def events() -> AsyncGenerator[JsonObject, None]:
        yield PING
        if call.service.release.since(1, 16):
            for event in refused_run(call.app.workflow_id, error.message):
                yield event

    return EventStream(events(), lambda: None)


async def _with_first_ping(
    events: AsyncGenerator[JsonObject, None],
) -> AsyncGenerator[JsonObject, None]:
    yield PING
    async for event in events:
        yield event


_RUN_DETAIL = (
    "id",
    "workflow_id",
    "status",
    "inputs",
    "outputs",
    "error",
    "total_steps",
    "total_tokens",
    "created_at",
    "finished_at",
    "elapsed_time",
)


async def run_detail(request: Request) -> Response:
    """`GET /workflows/run/{workflow_run_id}`."""
    call = app_call(request)
    require_workflow_app(call.app, chatflow=True)
    run_id = require_uuid(call.path("workflow_run_id"))
    record = run_records.find(call.service, call.app.id, run_id)
    if record is None and call.service.release.resumable:
        raise not_found("Workflow run not found.")
    if record is None:
        return json_response(dict.fromkeys(_RUN_DETAIL))
    return json_response(run_records.detail(record, objects=call.service.release.resumable))


async def logs(request: Request) -> Response:
    """`GET /workflows/logs`: newest first."""
    call = app_call(request)
    query = call.query(WorkflowLogQuery)
    records = [
        record
        for record in run_records.all_of(call.service, call.app.id)
        if _matches(record, query)
    ]
    start = (query.page - 1) * query.limit
    page = records[start : start + query.limit]
    return json_response(
        {
            "page": query.page,
            "limit": query.limit,
            "total": len(records),
            "has_more": len(records) > start + query.limit,
            "data": [_log_entry(record) for record in page],
        }
    )


def _matches(record: JsonObject, query: WorkflowLogQuery) -> bool:
    text = spaced_json([record["inputs"], record["outputs"]])
    session_id = query.created_by_end_user_session_id
    before, after = query.created_at__before, query.created_at__after
    if before and record["created_at"] > before.timestamp():
        return False
    if after and record["created_at"] < after.timestamp():
        return False
    return (
        query.status in {None, record["status"]}
        and (query.keyword or "") in text
        and session_id in {None, record["session_id"]}
    )


def _log_entry(record: JsonObject) -> JsonObject:
    kept = ("status", "error", "elapsed_time", "total_tokens", "total_steps", "created_at")
    workflow_run = {
        "id": record["id"],
        "version": "2026-01-01 00:00:00.000000",
        "triggered_from": "app-run",
        **{key: record[key] for key in kept},
        "finished_at": record["finished_at"],
        "exceptions_count": record["exceptions_count"],
    }
    end_user = {
        "id": record["created_by"]["id"],
        "type": "service-api",
        "is_anonymous": False,
        "session_id": record["session_id"],
    }
    return {
        "id": record["log_id"],
        "workflow_run": workflow_run,
        "details": None,
        "created_from": "service-api",
        "created_by_role": "end_user",
        "created_by_account": None,
        "created_by_end_user": end_user,
        "created_at": record["created_at"],
    }


async def stop_run(request: Request) -> Response:
    """`POST /workflows/tasks/{task_id}/stop`: any user stops any run."""
    call = await json_call(request)
    require_workflow_app(call.app)
    call.service.stop(call.path("task_id"), call.end_user, same_user_only=False)
    return json_response({"result": "success"})


async def run_events(request: Request) -> Response:
    """`GET /workflow/{workflow_run_id}/events`: watch a run that another request began."""
    call = await query_call(request, user_required=True)
    require_workflow_app(call.app, chatflow=True)
    run_id = require_uuid(call.path("workflow_run_id"))
    record = run_records.find(call.service, call.app.id, run_id, call.end_user)
    if record is None:
        raise not_found("Workflow run not found")
    run = saved_runs.by_id(call.service, run_id)
    if run is None:
        return _closing_event(record)
    parameters = request.query_params
    snapshot = parameters.get("include_state_snapshot") == "true"
    continue_on_pause = parameters.get("continue_on_pause") == "true"
    # Watched from now on, and seen as it is now: once it is watched, an answered run goes on, and
    # what happens until the response begins is not lost.
    live = run.watch(continue_on_pause=continue_on_pause)
    past = RunEvents(call.service, run).snapshot() if snapshot else []
    # Right after its form was answered a snapshot still shows the pause, and ends there.
    waits = run.status == "paused" or run.is_resuming
    replays = snapshot and not continue_on_pause and waits
    events = _attached(past, live, ends=replays)
    if continue_on_pause and not snapshot:
        events = _never_closed(events, call.service.pace.ping_interval)
    return EventStream(events, lambda: None, cache_control="no-cache")


def _closing_event(record: JsonObject) -> Response:
    # The one stream whose JSON is spaced and ASCII.
    data = {key: value for key, value in record.items() if key not in _NOT_SHOWN}
    ids = {"task_id": record["id"], "workflow_run_id": record["id"]}
    event = {"event": "workflow_finished", **ids, "data": data}
    headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    return Response(f"data: {spaced_json(event)}\n\n", headers=headers)


_NOT_SHOWN = {"inputs", "log_id", "session_id"}


async def _attached(
    past: list[JsonObject], live: EventSource, *, ends: bool
) -> AsyncGenerator[JsonObject, None]:
    yield PING
    for event in past:
        yield event
    if not ends:
        async for event in live:
            yield event


async def _never_closed(
    events: AsyncGenerator[JsonObject, None], ping_interval: float
) -> AsyncGenerator[JsonObject, None]:
    """Go on with pings after the end, as real servers do where only `continue_on_pause` is set."""
    async for event in events:
        yield event
    while True:
        await asyncio.sleep(ping_interval)
        yield PING


routes = [
    Route("/workflows/run", run_workflow, methods=["POST"]),
    Route("/workflows/run/{workflow_run_id}", run_detail),
    Route("/workflows/logs", logs),
    Route("/workflows/tasks/{task_id}/stop", stop_run, methods=["POST"]),
    Route("/workflows/{workflow_id}/run", run_version, methods=["POST"]),
    Route("/workflow/{workflow_run_id}/events", run_events),
]
