"""What is written down of runs: saving it, finding it again, and showing it."""

from __future__ import annotations

from dify_local._protocol.values import JsonObject, new_id, spaced_json
from dify_local._runs import saved_runs
from dify_local._runs.run_events import RunEvents
from dify_local._runs.service import Service
from dify_local._runs.workflow_run import WorkflowRun
from dify_local._storage.conversations import message_object
from dify_local._storage.store import EndUser, body, dump


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
    saved_runs.save(service, run)
    if run.chatflow:
        save_message(service, run)


def save_message(service: Service, run: WorkflowRun) -> None:
    """Write down the message of a chatflow."""
    generation = run.generation
    service.conversations.save_message(
        generation.app.id,
        generation.end_user,
        generation.conversation_id or "",
        _message(service, run),
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
        extra_contents=[form.extra_content(run.id) for form in run.all_forms],
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
