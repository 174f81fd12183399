"""`DifyWorkflow`: a workflow app from inputs to outputs, against the local server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.token_counting import TokenCountingHandler
from llama_index.core.instrumentation.events.llm import LLMCompletionEndEvent
from pydantic import ValidationError

from dify_api.errors import DifyError, WorkflowFailedError, WrongAppTypeError
from dify_local import LocalDify
from llama_index_dify import DifyWorkflow, DifyWorkflowResponse
from llama_index_dify.events import DifyEvent, DifyNodeFinishedEvent, DifyTextEvent
from llama_index_dify.workflow_response import DifyWorkflowResponseEvent
from tests.llama_index_dify.support import recorded_events


@pytest.fixture
def report(local: LocalDify) -> DifyWorkflow:
    return DifyWorkflow(api_key=local.keys["workflow"], base_url=local.base_url, user="ann")


async def _run(report: DifyWorkflow, inputs: dict[str, Any], **options: Any) -> Any:
    return report.run(inputs, **options)


async def _arun(report: DifyWorkflow, inputs: dict[str, Any], **options: Any) -> Any:
    return await report.arun(inputs, **options)


async def _stream(report: DifyWorkflow, inputs: dict[str, Any], **options: Any) -> Any:
    *_, last = report.stream(inputs, **options)
    assert isinstance(last, DifyWorkflowResponseEvent)
    return last.response


async def _astream(report: DifyWorkflow, inputs: dict[str, Any], **options: Any) -> Any:
    *_, last = [event async for event in report.astream(inputs, **options)]
    assert isinstance(last, DifyWorkflowResponseEvent)
    return last.response


every_way = pytest.mark.parametrize("way", [_run, _arun, _stream, _astream])


@every_way
async def test_outputs_and_nodes(way: Any, report: DifyWorkflow, local: LocalDify) -> None:
    response = await way(report, {"text": "/echo Saturn has rings."})
    assert isinstance(response, DifyWorkflowResponse)
    assert response.outputs["text"] == "Saturn has rings."
    assert json.loads(str(response)) == response.outputs  # there are several
    assert [node.status for node in response.nodes] == ["succeeded"] * len(response.nodes)
    assert len(response.nodes) >= 3
    assert response.status == "succeeded"
    assert response.usage is not None
    assert response.usage.total_tokens
    assert response.workflow_run_id == response.raw["workflow_run_id"]
    (request,) = [r for r in local.requests if r.path.endswith("/run")]
    assert request.json["user"] == "ann"


@every_way
async def test_inputs_are_checked_before_the_request(
    way: Any, report: DifyWorkflow, local: LocalDify
) -> None:
    with pytest.raises(ValidationError, match="text"):
        await way(report, {})
    with pytest.raises(TypeError, match="knows no call argument 'temperature'"):
        await way(report, {"text": "x"}, temperature=1)
    with pytest.raises(TypeError, match="takes a dict of inputs, not str"):
        await way(report, "Saturn")
    assert not [r for r in local.requests if r.path.endswith("/run")]


async def test_the_form_is_asked_for_once(report: DifyWorkflow, local: LocalDify) -> None:
    assert "text" in report.inputs_schema.model_fields
    report.run({"text": "/echo a"})
    await report.arun({"text": "/echo b"})
    assert [r.path.endswith("/parameters") for r in local.requests].count(True) == 1


@every_way
async def test_failures_are_raised(way: Any, report: DifyWorkflow, local: LocalDify) -> None:
    with pytest.raises(WorkflowFailedError) as failed:
        await way(report, {"text": "/fail"})
    assert failed.value.answer is not None
    assert failed.value.answer.streamed_text == "one two three "
    chat = DifyWorkflow(api_key=local.keys["chat"], base_url=local.base_url)
    with pytest.raises(WrongAppTypeError):
        await way(chat, {"text": "x"})


async def test_what_a_run_takes(local: LocalDify) -> None:
    report = DifyWorkflow(
        api_key=local.keys["workflow"], base_url=local.base_url, inputs={"text": "/echo fixed"}
    )
    assert report.run().outputs["text"] == "fixed"
    own = await report.arun({"text": "/echo own"}, user="ben", trace_id="t-1")
    assert own.outputs["text"] == "own"
    first, second = [r.json for r in local.requests if r.path.endswith("/run")]
    assert (first["user"], second["user"], second["trace_id"]) == ("llama-index", "ben", "t-1")


@pytest.mark.parametrize("is_async", [False, True])
async def test_events_come_as_they_happen(
    is_async: bool, report: DifyWorkflow, local: LocalDify
) -> None:
    async def each() -> AsyncIterator[DifyEvent]:
        if is_async:
            async for event in report.astream({"text": "/tokens 3"}):
                yield event
        else:
            for event in report.stream({"text": "/tokens 3"}):
                yield event

    events = [event async for event in each()]
    names = [type(event).__name__ for event in events]
    texts = [event.delta for event in events if isinstance(event, DifyTextEvent)]
    assert len(texts) == 3
    first_text, last_text = names.index("DifyTextEvent"), len(names) - 4
    assert names[0] == "DifyWorkflowStartedEvent"
    assert "DifyNodeFinishedEvent" in names[:first_text]
    assert "DifyNodeFinishedEvent" in names[last_text:]
    assert names[-2:] == ["DifyWorkflowFinishedEvent", "DifyWorkflowResponseEvent"]


async def test_leaving_a_stream_stops_the_run(report: DifyWorkflow, local: LocalDify) -> None:
    events = report.stream({"text": "/hang 2"})
    assert any(isinstance(event, DifyTextEvent) for event in events)
    events.close()
    async with aclosing(report.astream({"text": "/hang 2"})) as later:
        async for event in later:
            if isinstance(event, DifyTextEvent):
                break
    assert [r.path.endswith("/stop") for r in local.requests].count(True) == 2


@every_way
async def test_a_run_is_reported_as_one_call_of_a_model(way: Any, local: LocalDify) -> None:
    counter = TokenCountingHandler()
    report = DifyWorkflow(
        api_key=local.keys["workflow"],
        base_url=local.base_url,
        user="ann@example.com",
        model_name="report",
        callback_manager=CallbackManager([counter]),
    )
    with recorded_events() as recorder:
        response = await way(report, {"text": "/echo Hello"})
    assert counter.total_llm_token_count == response.usage.total_tokens
    assert len(recorder.of(LLMCompletionEndEvent)) == 1
    nodes = [event.node.id for event in recorder.of(DifyNodeFinishedEvent)]
    assert nodes == [node.id for node in response.nodes]
    assert "ann@example.com" not in repr([recorder.seen, response, report])


def test_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    with pytest.raises(ValueError, match="DIFY_API_KEY"):
        DifyWorkflow()


def test_a_server_out_of_reach() -> None:
    report = DifyWorkflow(api_key="app-x", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(DifyError):
        report.run({"text": "x"})
