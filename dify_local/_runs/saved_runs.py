"""Paused runs outlive the server: what is needed to go on with one, written down and read back.

A run is written down whenever it is saved and has a form. After a restart it is read back when
somebody asks for it, or at once where its form was answered and what follows had not been made.
"""

from __future__ import annotations

import time
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from dify_local._answers.reply import Reply, play
from dify_local._protocol.values import JsonObject
from dify_local._runs.generation import Generation
from dify_local._runs.human_input import HumanInputForm
from dify_local._runs.nodes import Node
from dify_local._runs.service import Service
from dify_local._runs.workflow_run import WorkflowRun
from dify_local._storage.knowledge import Hit
from dify_local._storage.store import body, dump

_WHEN_USED = ConfigDict(defer_build=True)
_FORMS = TypeAdapter(list[HumanInputForm], config=_WHEN_USED)
_NODES = TypeAdapter(list[Node], config=_WHEN_USED)

_GENERATION = ("query", "inputs", "files", "conversation_id", "task_id", "message_id", "created_at")
_RUN = (
    "variables",
    "id",
    "status",
    "error",
    "outputs",
    "files",
    "finished_at",
    "reasoning",
    "values",
    "position",
)


def save(service: Service, run: WorkflowRun) -> None:
    """Write down a run that has a form."""
    if run.form is None:
        return
    generation = run.generation
    state = {
        "app": generation.app.key,
        "end_user": generation.end_user.id,
        "generation": {name: getattr(generation, name) for name in _GENERATION},
        "text": generation.answer,
        "hits": [[hit.document.id, hit.segment.id, hit.score] for hit in generation.reply.hits],
        "context": generation.reply.context,
        "run": {name: getattr(run, name) for name in _RUN},
        "nodes": _NODES.dump_python(run.nodes, mode="json"),
        "forms": _FORMS.dump_python(run.forms, mode="json"),
        "answered": _FORMS.dump_python(run.answered, mode="json"),
        "earlier": _FORMS.dump_python(run.earlier, mode="json"),
    }
    service.store.execute(
        "INSERT OR REPLACE INTO paused_runs (run_id, status, body) VALUES (?, ?, ?)",
        run.id, run.status, dump(state),
    )  # fmt: skip
    service.store.execute("DELETE FROM paused_forms WHERE run_id = ?", run.id)
    for form in run.all_forms:
        service.store.execute("INSERT INTO paused_forms VALUES (?, ?)", form.form_token, run.id)


def by_form_token(service: Service, form_token: str) -> tuple[WorkflowRun, HumanInputForm] | None:
    """Return a form, and the run that shows it, or has shown it before."""
    row = service.store.row(
        "SELECT run_id, body FROM paused_runs JOIN paused_forms USING (run_id) "
        "WHERE form_token = ?",
        form_token,
    )
    if row is None:
        return None
    run_id = row["run_id"]
    known = service.forms.get(run_id) or service.runs.get(run_id)
    run = known or _restored(service, body(row))
    forms = run.all_forms if run else []
    return next(((run, form) for form in forms if run and form.form_token == form_token), None)


def by_id(service: Service, run_id: str) -> WorkflowRun | None:
    """Return a run that goes on or waits."""
    run = service.runs.get(run_id)
    if run is None:
        row = service.store.row(
            "SELECT body FROM paused_runs WHERE run_id = ? AND status = 'paused'", run_id
        )
        run = _restored(service, body(row)) if row else None
    return run


def interrupted(service: Service) -> list[WorkflowRun]:
    """Return the runs that were going on after their form when the last server ended."""
    rows = service.store.rows("SELECT body FROM paused_runs WHERE status = 'running'")
    runs = [_restored(service, body(row)) for row in rows]
    return [run for run in runs if run]


def _restored(service: Service, state: JsonObject) -> WorkflowRun | None:
    """Return a run as it was written down; None if its app is no longer there."""
    app = service.apps.get(state["app"])
    end_user = service.store.end_user_by_id(app.id, state["end_user"]) if app else None
    if app is None or end_user is None:
        return None
    generation = Generation(
        app=app,
        end_user=end_user,
        reply=Reply(play([]), _hits(service, state["hits"]), context=state["context"]),
        pace=service.pace,
        parts=[state["text"]],
        **state["generation"],
    )
    nodes = _NODES.validate_python(state["nodes"])
    for node in nodes:
        node.began = time.monotonic()  # a clock that began anew
    form, *further = _FORMS.validate_python(state["forms"])
    run = WorkflowRun(
        generation,
        nodes=nodes,
        form=form,
        further=further,
        answered=_FORMS.validate_python(state["answered"]),
        earlier=_FORMS.validate_python(state.get("earlier", [])),
        **state["run"],
    )
    service.forms[run.id] = run
    if run.status in {"paused", "running"}:
        service.runs[run.id] = run
    return run


def _hits(service: Service, saved: list[list[Any]]) -> list[Hit]:
    tables, hits = service.tables, []
    for document_id, segment_id, score in saved:
        document = tables.document(service.knowledge.id, document_id)
        segment = tables.segment(document_id, segment_id)
        if document and segment:
            hits.append(Hit(segment, document, score))
    return hits
