"""Runs of workflow apps that are left and come back to; answers whose connection breaks."""

from __future__ import annotations

import pytest

from dify_api.errors import NotFoundError, WorkflowPausedError
from dify_local import LocalDify
from llama_index_dify import DifyWorkflow, DifyWorkflowResponse, DifyWorkflowRun
from llama_index_dify.events import DifyTextEvent, DifyWorkflowFinishedEvent
from llama_index_dify.workflow_response import DifyWorkflowResponseEvent


@pytest.fixture
def report(local: LocalDify) -> DifyWorkflow:
    return DifyWorkflow(api_key=local.keys["workflow"], base_url=local.base_url, user="ann")


def _generations(local: LocalDify) -> int:
    return sum(r.path.endswith("/workflows/run") for r in local.requests)


async def _start(report: DifyWorkflow, is_async: bool, text: str) -> DifyWorkflowRun:
    return await report.astart({"text": text}) if is_async else report.start({"text": text})


both = pytest.mark.parametrize("is_async", [False, True])


@both
async def test_a_run_is_started_and_waited_for_by_its_id(
    is_async: bool, report: DifyWorkflow, local: LocalDify
) -> None:
    begun = await _start(report, is_async, "/slow 0.2 3")
    assert not [r for r in local.requests if r.path.endswith("/stop")]
    again = DifyWorkflow(api_key=local.keys["workflow"], base_url=local.base_url, user="ann")
    later = again.attach(begun.workflow_run_id)
    response = await later if is_async else later.wait()
    assert isinstance(response, DifyWorkflowResponse)
    assert response.outputs["text"].endswith("Sorry for the delay.")
    assert response.workflow_run_id == begun.workflow_run_id
    assert (await begun).outputs == begun.wait().outputs == response.outputs  # it has ended
    assert _generations(local) == 1


@both
async def test_a_run_is_followed(is_async: bool, report: DifyWorkflow, local: LocalDify) -> None:
    run = await _start(report, is_async, "/slow 0.2 3")
    events = [event async for event in run.astream()] if is_async else [*run.stream()]
    assert any(isinstance(event, DifyTextEvent) for event in events)
    assert isinstance(events[-2], DifyWorkflowFinishedEvent)
    assert isinstance(events[-1], DifyWorkflowResponseEvent)
    assert events[-1].response.outputs["text"].endswith("Sorry for the delay.")
    assert _generations(local) == 1


@both
async def test_a_run_is_stopped(is_async: bool, report: DifyWorkflow, local: LocalDify) -> None:
    begun = await _start(report, is_async, "/hang 2")
    run = report.attach(begun.workflow_run_id)
    if is_async:
        await run.astop()
    else:
        run.stop()
    response = await run
    assert response.status == "stopped"  # by ourselves: no failure
    assert response.workflow_run_id == run.workflow_run_id


@both
async def test_a_run_that_waits_for_a_person(
    is_async: bool, report: DifyWorkflow, local: LocalDify
) -> None:
    run = await _start(report, is_async, "/pause The draft. ")
    with pytest.raises(WorkflowPausedError) as paused:
        await run
    assert paused.value.forms
    with pytest.raises(ValueError, match="comment is missing"):
        run.resume({"action": "approve"})
    values = {"comment": "Fine.", "action": "approve"}
    response = await run.aresume(values) if is_async else run.resume(values)
    assert "Fine." in response.outputs["text"]
    assert _generations(local) == 1


async def test_runs_that_there_are_not(report: DifyWorkflow) -> None:
    with pytest.raises(ValueError, match="workflow_run_id"):
        report.attach("42")
    with pytest.raises(NotFoundError):
        report.attach("00000000-0000-4000-8000-000000000000").wait()
    run = report.start({"text": "/echo mine"})
    assert "ann" not in repr(run)
