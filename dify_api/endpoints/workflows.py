"""Workflow runs: run, look up, stop, follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import Any, Literal

from dify_api.answers.answer import Answer
from dify_api.endpoints.pages import Page
from dify_api.endpoints.response_mode import ResponseMode
from dify_api.models import JSONObject, Model, Timestamp
from dify_api.operation import Operation, path, require, require_uuid, without_none

STOP_PATH = "/workflows/tasks/{task_id}/stop"

RunStatus = Literal["succeeded", "failed", "stopped", "partial-succeeded", "paused"]


class WorkflowRun(Model):
    """A run of a workflow or chatflow app."""

    id: str | None = None
    """None for an unknown run, up to 1.12.1; later servers answer 404."""
    workflow_id: str | None = None
    status: str | None = None
    """running, succeeded, partial-succeeded, failed, stopped or paused."""
    inputs: JSONObject | None = None
    outputs: JSONObject | None = None
    error: str | None = None
    total_steps: int | None = None
    total_tokens: int | None = None
    elapsed_time: float | None = None
    """Seconds."""
    created_at: Timestamp | None = None
    finished_at: Timestamp | None = None


class LoggedRun(Model):
    """The run of an entry of the log."""

    id: str | None = None
    version: str | None = None
    status: str | None = None
    triggered_from: str | None = None
    error: str | None = None
    elapsed_time: float | None = None
    """Seconds."""
    total_tokens: int | None = None
    total_steps: int | None = None
    exceptions_count: int | None = None
    created_at: Timestamp | None = None
    finished_at: Timestamp | None = None


class LoggedEndUser(Model):
    """The end user of an entry of the log."""

    id: str | None = None
    type: str | None = None
    is_anonymous: bool | None = None
    session_id: str | None = None
    """The `user` of the request."""


class WorkflowLog(Model):
    """An entry of the log of runs."""

    id: str = ""
    workflow_run: LoggedRun = LoggedRun()
    details: Any = None
    created_from: str | None = None
    created_by_role: str | None = None
    created_by_account: dict[str, Any] | None = None
    created_by_end_user: LoggedEndUser | None = None
    created_at: Timestamp | None = None


def run(
    inputs: Mapping[str, Any],
    *,
    user: str,
    files: Sequence[Mapping[str, Any]] | None = None,
    response_mode: ResponseMode = "streaming",
    trace_id: str | None = None,
) -> Operation[Answer]:
    """Run a workflow app (`POST /workflows/run`).

    Args:
        inputs: Values of the app's variables; `{}` if it has none.
        user: Stable identifier of the end user, up to 255 characters.
        files: File references for the workflow's `sys.files`, such as `files.reference(...)`
            makes them.
        response_mode: "streaming" (default), or "blocking", which proxies cut after 60 to
            100 seconds.
        trace_id: Your trace id, letters, digits, "_" and "-" (1.7.0 and later).

    Raises:
        ValueError: If `user` is empty.

    Example:
        >>> client.send(run({"planet": "Saturn"}, user="ann")).outputs
        {'moons': 146}
    """
    return _run("/workflows/run", inputs, user, files, response_mode, trace_id)


def run_version(
    workflow_id: str,
    inputs: Mapping[str, Any],
    *,
    user: str,
    files: Sequence[Mapping[str, Any]] | None = None,
    response_mode: ResponseMode = "streaming",
    trace_id: str | None = None,
) -> Operation[Answer]:
    """Run a published version of a workflow app (`POST /workflows/{workflow_id}/run`).

    Servers since 1.7.2. A run names its version in `answer.workflow.workflow_id`.

    Args:
        workflow_id: Id of the published version.
        inputs: Values of the app's variables; `{}` if it has none.
        user: Stable identifier of the end user, up to 255 characters.
        files: File references for the workflow's `sys.files`.
        response_mode: "streaming" (default) or "blocking".
        trace_id: Your trace id, letters, digits, "_" and "-".

    Raises:
        ValueError: If `workflow_id` is no UUID, or `user` is empty.
    """
    require_uuid(workflow_id, "workflow_id")
    template = path("/workflows/{}/run", workflow_id)
    return _run(template, inputs, user, files, response_mode, trace_id)


def _run(
    where: str,
    inputs: Mapping[str, Any],
    user: str,
    files: Sequence[Mapping[str, Any]] | None,
    response_mode: ResponseMode,
    trace_id: str | None,
) -> Operation[Answer]:
    require(user, "user", "name the end user who runs the workflow")
    return Operation(
        "POST",
        where,
        Answer,
        json=without_none(
            {
                "inputs": dict(inputs),
                "response_mode": response_mode,
                "files": list(files) if files else None,
                "trace_id": trace_id,
            }
        ),
        user=user,
        generates=True,
        stop_path=STOP_PATH,
    )


def stop(task_id: str, *, user: str) -> Operation[None]:
    """Stop a run (`POST /workflows/tasks/{task_id}/stop`).

    The server says 200 whatever happens; the stream then ends with status "stopped".

    Args:
        task_id: From any event of the stream, or `stream.task_id`.
        user: The user who started the run.
    """
    require(user, "user", "name the end user who started the run")
    return Operation(
        "POST",
        path("/workflows/tasks/{}/stop", task_id),
        NoneType,
        json={},
        user=user,
        repeatable=True,
        stops=task_id,
    )


def run_detail(workflow_run_id: str) -> Operation[WorkflowRun]:
    """Look up a run of a workflow or chatflow app (`GET /workflows/run/{workflow_run_id}`).

    Servers since 0.6.15; runs of chatflow apps since 1.3.1.

    Args:
        workflow_run_id: From any event of the run, or `answer.workflow_run_id`.

    Raises:
        ValueError: If it is no UUID.
    """
    require_uuid(workflow_run_id, "workflow_run_id")
    return Operation(
        "GET", path("/workflows/run/{}", workflow_run_id), WorkflowRun, repeatable=True
    )


def logs(
    *,
    keyword: str | None = None,
    status: RunStatus | None = None,
    created_at_before: datetime | None = None,
    created_at_after: datetime | None = None,
    created_by_end_user_session_id: str | None = None,
    created_by_account: str | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Operation[Page[WorkflowLog]]:
    """List the runs of a workflow app (`GET /workflows/logs`; servers since 0.8.2).

    Args:
        keyword: Text to find in inputs and outputs, run ids and users.
        status: Only runs that ended so.
        created_at_before: Only runs until then (1.2.0 and later).
        created_at_after: Only runs from then on (1.2.0 and later).
        created_by_end_user_session_id: Only runs of this `user` (1.5.0 and later).
        created_by_account: Only runs of this account's e-mail address (1.5.0 and later).
        page: Number of the page, from 1.
        limit: Runs on a page, 1 to 100. Default: the server's, 20.
    """
    return Operation(
        "GET",
        "/workflows/logs",
        Page[WorkflowLog],
        query={
            "keyword": keyword,
            "status": status,
            "created_at__before": created_at_before.isoformat() if created_at_before else None,
            "created_at__after": created_at_after.isoformat() if created_at_after else None,
            "created_by_end_user_session_id": created_by_end_user_session_id,
            "created_by_account": created_by_account,
            "page": page,
            "limit": limit,
        },
        repeatable=True,
        page="page",
    )


def events(
    workflow_run_id: str,
    *,
    user: str,
    include_state_snapshot: bool = False,
    continue_on_pause: bool = False,
) -> Operation[Answer]:
    """Follow a run that goes on (`GET /workflow/{workflow_run_id}/events`).

    Servers since 1.13.0. A finished run sends its end alone. Leaving the stream leaves the run
    as it is.

    Args:
        workflow_run_id: The run, such as `error.workflow_run_id` of a `WorkflowPausedError`.
        user: The end user who started it.
        include_state_snapshot: First replay what has happened so far.
        continue_on_pause: Stay on at a pause, where the stream would end.

    Raises:
        ValueError: If `workflow_run_id` is no UUID, or `user` is empty.

    Example:
        >>> try:
        ...     answer = client.send(run({"draft": "..."}, user="ann"))
        ... except WorkflowPausedError as paused:
        ...     client.send(human_input.submit(paused.forms[0].form_token, {}, action="approve",
        ...                                    user="ann"))
        ...     answer = client.send(events(paused.workflow_run_id, user="ann"))
    """
    require_uuid(workflow_run_id, "workflow_run_id")
    require(user, "user", "name the end user who started the run")
    return Operation(
        "GET",
        path("/workflow/{}/events", workflow_run_id),
        Answer,
        query={
            "include_state_snapshot": include_state_snapshot or None,
            "continue_on_pause": continue_on_pause or None,
        },
        user=user,
        repeatable=True,
        generates=True,
    )
