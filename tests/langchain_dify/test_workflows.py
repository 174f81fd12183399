from __future__ import annotations

import asyncio
import copy
import json
import pickle
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import ValidationError

from dify_api import files
from dify_api._calls.attachments import Attachment
from dify_api.errors import (
    ConnectionFailedError,
    DifyError,
    NotWorkflowAppError,
    WorkflowFailedError,
    WorkflowPausedError,
    WorkflowStoppedError,
)
from dify_local import LocalDify
from langchain_dify import DifyWorkflow
from tests.support.cassettes import Exchange, all_exchanges, exchange
from tests.support.replay import Received, ReplayServer, Reply
from tests.support.story import NOT_FOUND
from tests.support.watched import Watched

TOPIC = "Which planet has the most moons?"
RUNS = [e for e in all_exchanges() if e.path == "/workflows/run" and e.method == "POST"]


def workflow_of(server: LocalDify, **settings: Any) -> DifyWorkflow:
    return DifyWorkflow(
        **{"api_key": server.keys["workflow"], "base_url": server.base_url, **settings}
    )


def runs(server: LocalDify) -> list[Any]:
    return [request for request in server.requests if request.path.endswith("/run")]


async def outcomes(workflow: DifyWorkflow, values: dict[str, Any]) -> list[Any]:
    """Outputs or error of the four ways to run a workflow; streams merged."""

    async def ainvoke() -> Any:
        return await workflow.ainvoke(values)

    async def invoke() -> Any:
        return workflow.invoke(values)

    async def stream() -> Any:
        return dict(reduce(add, workflow.stream(values)))

    async def astream() -> Any:
        return dict(reduce(add, [chunk async for chunk in workflow.astream(values)]))

    results: list[Any] = []
    for way in (invoke, ainvoke, stream, astream):
        try:
            results.append(await way())
        except DifyError as error:
            results.append(error)
    return results


def without_timing(outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outputs.items() if name != "usage"}


async def test_four_ways_one_result(server: LocalDify) -> None:
    results = await outcomes(workflow_of(server), {"text": TOPIC, "style": "formal"})
    assert "274" in results[0]["text"]
    assert results[0]["style"] == "formal"
    for result in results[1:]:
        assert without_timing(result) == without_timing(results[0])
    assert [request.path for request in server.requests] == [
        "/v1/parameters",
        *["/v1/workflows/run"] * 4,
    ]


@pytest.mark.parametrize("recorded", RUNS, ids=lambda e: e.name)
async def test_recorded_run(recorded: Exchange) -> None:
    """Outputs or the error of every recorded run, in each of the four ways."""

    def reply(request: Received) -> Reply:
        parameters = exchange("dify-1.16.0/parameters_agent")  # no variables: nothing to check
        if request.path.endswith("/parameters"):
            return parameters.reply()
        return recorded.reply(longest=400) if request.method == "POST" else NOT_FOUND

    with ReplayServer(reply) as server:
        workflow = DifyWorkflow(api_key="app-test", base_url=server.base_url, max_retries=0)
        results = await outcomes(workflow, {})
    finished = _finished(recorded)
    for result in results:
        if finished is None or finished["status"] == "failed":
            assert isinstance(result, DifyError)
        elif finished["status"] == "stopped":
            assert isinstance(result, WorkflowStoppedError)
        else:
            assert result == (finished["outputs"] or {})
        if finished is not None and finished["status"] == "failed":
            assert isinstance(result, WorkflowFailedError)
            assert result.message == finished["error"]


def _finished(recorded: Exchange) -> dict[str, Any] | None:
    """How the run ended; None where it did not."""
    if recorded.is_stream:
        frames = [
            json.loads(frame.removeprefix(b"data: "))
            for frame in recorded.body.split(b"\n\n")
            if frame.startswith(b"data: ")
        ]
        ends = [frame["data"] for frame in frames if frame["event"] == "workflow_finished"]
        return ends[0] if ends else None
    data = recorded.json.get("data") if recorded.status == 200 else None
    return data if data and data["status"] != "paused" else None


# Inputs ----------------------------------------------------------------------------------------


def test_input_schema_is_the_form(server: LocalDify) -> None:
    workflow = workflow_of(server)
    schema = workflow.get_input_schema().model_json_schema()
    assert schema["required"] == ["text"]
    assert list(schema["properties"])[:4] == ["text", "style", "count", "title"]
    assert workflow.input_schema is workflow.get_input_schema()
    assert len(server.requests) == 1


async def test_bad_inputs_are_refused_before_the_run(server: LocalDify) -> None:
    workflow = workflow_of(server)
    for values in (
        {},
        {"text": TOPIC, "style": "loud"},
        {"text": TOPIC, "count": "many"},
        {"text": TOPIC, "topic": "Saturn"},
        {"text": TOPIC, "settings": "x"},
    ):
        with pytest.raises(ValidationError):
            workflow.invoke(values)
        with pytest.raises(ValidationError):
            await workflow.ainvoke(values)
        with pytest.raises(ValidationError):
            list(workflow.stream(values))
    assert runs(server) == []
    with pytest.raises(TypeError, match="dict of inputs, not str"):
        workflow.invoke(TOPIC)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no call argument 'users'"):
        workflow.invoke({"text": TOPIC}, users="ann")


def test_values_are_sent_as_the_server_wants_them(server: LocalDify) -> None:
    workflow_of(server).invoke({"text": 5, "count": "2", "shout": "yes", "settings": '{"a": 1}'})
    sent = runs(server)[-1].json["inputs"]
    assert sent == {"text": "5", "count": 2, "shout": True, "settings": {"a": 1}}


def test_form_of_a_newly_published_app_is_asked_for_again() -> None:
    forms = [exchange("dify-1.16.0/parameters_agent"), exchange("dify-1.16.0/parameters_workflow")]
    run = exchange("dify-1.16.0/workflow_streaming")

    def reply(request: Received) -> Reply:
        if not request.path.endswith("/parameters"):
            return run.reply()
        return (forms.pop(0) if len(forms) > 1 else forms[0]).reply()

    with ReplayServer(reply) as server:
        workflow = DifyWorkflow(api_key="app-test", base_url=server.base_url)
        assert workflow.invoke({})
        assert workflow.invoke({"query": "Saturn"})  # unknown to the first form
        assert workflow.invoke({"query": "Saturn"})
        asked = [request.path.rsplit("/", 1)[1] for request in server.requests]
    assert asked == ["parameters", "run", "parameters", "run", "run"]


def test_inputs_of_every_run_and_user(server: LocalDify) -> None:
    workflow = workflow_of(server, user="ann", inputs={"style": "casual", "count": 1})
    workflow.invoke({"text": TOPIC, "count": 2})
    assert runs(server)[-1].json["inputs"] == {"text": TOPIC, "style": "casual", "count": 2}
    assert runs(server)[-1].json["user"] == "ann"
    workflow.bind(user="bob").invoke({"text": TOPIC})
    assert runs(server)[-1].json["user"] == "bob"


def test_files(server: LocalDify, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("Saturn has rings.")
    attachment = Attachment("document", content=b"text", mime_type="text/plain", name="a.txt")
    uploaded = workflow_of(server, user="ann").client.send(files.upload(notes, user="ann"))
    server.clear_requests()
    outputs = workflow_of(server, user="ann").invoke(
        {"text": TOPIC, "document": notes, "attachments": [attachment, uploaded]},
        files=[files.reference(uploaded)],
    )
    assert outputs["document"]
    sent = runs(server)[-1].json
    references = [sent["inputs"]["document"], *sent["inputs"]["attachments"], *sent["files"]]
    assert {reference["transfer_method"] for reference in references} == {"local_file"}
    assert all(reference["upload_file_id"] for reference in references)
    assert sum(request.path == "/v1/files/upload" for request in server.requests) == 2
    with pytest.raises(ValidationError, match="public URL of a file"):
        workflow_of(server).invoke({"text": TOPIC, "document": str(notes)})


def test_pinned_version_is_not_checked_against_the_newest_form(server: LocalDify) -> None:
    version = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(DifyError):
        workflow_of(server).invoke({"old_input": 1}, workflow_id=version)
    [request] = runs(server)
    assert request.path == f"/v1/workflows/{version}/run"
    assert request.json["inputs"] == {"old_input": 1}


# Streams and traces ----------------------------------------------------------------------------


async def test_stream_brings_text_and_nodes(server: LocalDify) -> None:
    workflow = workflow_of(server)
    chunks = list(workflow.stream({"text": TOPIC}))
    texts = [chunk["text"] for chunk in chunks[:-1] if "text" in chunk]
    assert len(texts) > 5
    assert "".join(texts) == chunks[-1]["text"]
    nodes = [node for chunk in chunks for node in chunk.get("nodes", [])]
    started = [node["title"] for node in nodes if node["event"] == "node_started"]
    finished = [node["title"] for node in nodes if node["event"] == "node_finished"]
    assert started == finished
    assert len(started) == 4
    assert nodes[1]["status"] == "succeeded"
    achunks = [chunk async for chunk in workflow.astream({"text": TOPIC})]
    assert [list(chunk) for chunk in achunks[:-1]] == [list(chunk) for chunk in chunks[:-1]]


CUSTOM = ["workflow_started", *["node_started", "node_finished"] * 4, "workflow_finished"]


async def test_events(server: LocalDify) -> None:
    events = [e async for e in workflow_of(server).astream_events({"text": TOPIC}, version="v2")]
    custom = [event for event in events if event["event"] == "on_custom_event"]
    assert [event["name"] for event in custom] == CUSTOM
    [end] = [e for e in events if e["event"] == "on_chain_end" and e["name"] == "DifyWorkflow"]
    assert "274" in end["data"]["output"]["text"]
    assert {event["run_id"] for event in custom} == {end["run_id"]}
    [retrieved] = [event for event in events if event["event"] == "on_retriever_end"]
    assert "274" in retrieved["data"]["output"][0].page_content
    assert end["run_id"] in retrieved["parent_ids"]


class Recorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.custom: list[str] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.custom.append(name)


class AsyncRecorder(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.custom: list[str] = []

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.custom.append(name)


async def test_callbacks_hear_of_nodes(server: LocalDify) -> None:
    recorder, async_recorder = Recorder(), AsyncRecorder()
    workflow = workflow_of(server)
    workflow.invoke({"text": TOPIC}, {"callbacks": [recorder]})
    await workflow.ainvoke({"text": TOPIC}, {"callbacks": [async_recorder]})
    assert recorder.custom == async_recorder.custom == CUSTOM


class Tracer(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.traced: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.traced.append(run)


async def test_nodes_are_runs_below_the_workflows_own(server: LocalDify) -> None:
    tracer = Tracer()
    config: Any = {"callbacks": [tracer]}
    workflow = workflow_of(server)
    workflow.invoke({"text": TOPIC}, config)
    await workflow.ainvoke({"text": TOPIC}, config)
    list(workflow.stream({"text": TOPIC}, config))
    async for _ in workflow.astream({"text": TOPIC}, config):
        pass
    assert len(tracer.traced) == 4
    for run in tracer.traced:
        [whole] = run.child_runs
        assert [(node.run_type, node.name) for node in whole.child_runs] == [
            ("chain", "Start"),
            ("retriever", "Knowledge Retrieval"),
            ("llm", "LLM"),
            ("chain", "End"),
        ]
        assert all(node.end_time and not node.error for node in [whole, *whole.child_runs])


def test_run_is_traced(server: LocalDify) -> None:
    tracer = Tracer()
    config: Any = {"callbacks": [tracer], "run_name": "report", "tags": ["daily"]}
    workflow_of(server).invoke({"text": TOPIC}, config)
    with pytest.raises(WorkflowFailedError):
        workflow_of(server).invoke({"text": "/fail"}, config)
    good, bad = tracer.traced
    assert (good.name, good.run_type, good.tags) == ("report", "chain", ["daily"])
    assert good.inputs == {"text": TOPIC}
    assert "274" in good.outputs["text"]
    assert "model is down" in bad.error


def test_in_a_chain(server: LocalDify) -> None:
    chain = (
        RunnableLambda(lambda topic: {"text": topic})
        | workflow_of(server)
        | (lambda outputs: outputs["text"])
    )
    assert "274" in chain.invoke(TOPIC)
    assert "".join(chain.stream(TOPIC)) == chain.invoke(TOPIC)
    assert len(chain.batch([TOPIC, TOPIC])) == 2


def test_configurable_and_fallback(server: LocalDify) -> None:
    configurable = workflow_of(server).configurable_fields(user=ConfigurableField(id="user"))
    configurable.invoke({"text": TOPIC}, {"configurable": {"user": "bob"}})
    assert runs(server)[-1].json["user"] == "bob"
    broken = workflow_of(server, base_url="http://127.0.0.1:1/v1", max_retries=0)
    with pytest.raises(ConnectionFailedError):
        broken.invoke({"text": TOPIC})
    assert broken.with_fallbacks([workflow_of(server)]).invoke({"text": TOPIC})


# Failures --------------------------------------------------------------------------------------


async def test_failed_run_keeps_what_there_is(server: LocalDify) -> None:
    for error in await outcomes(workflow_of(server), {"text": "/fail mid"}):
        assert isinstance(error, WorkflowFailedError)
        assert error.answer is not None
        assert error.answer.text
        assert error.answer.workflow_run_id


async def test_paused_run(server: LocalDify) -> None:
    for error in await outcomes(workflow_of(server), {"text": "/pause"}):
        assert isinstance(error, WorkflowPausedError)
        assert error.workflow_run_id
        assert error.forms[0].form_token


def test_key_of_another_type_of_app(server: LocalDify) -> None:
    workflow = workflow_of(server, api_key=server.keys["chat"])
    with pytest.raises(NotWorkflowAppError, match="another type"):
        workflow.invoke({})


def test_what_the_server_alone_can_check(server: LocalDify) -> None:
    unknown = "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10"
    with pytest.raises(DifyError, match="Invalid upload file"):
        workflow_of(server).invoke({"text": TOPIC, "document": unknown})


def test_leaving_a_stream_stops_the_run(server: LocalDify) -> None:
    for chunk in workflow_of(server).stream({"text": "/hang 3"}):
        if "text" in chunk:
            break
    assert server.wait_for_stop()


async def test_leaving_an_async_stream_stops_the_run(server: LocalDify) -> None:
    stream = workflow_of(server).astream({"text": "/hang 3"})
    async for chunk in stream:
        if "text" in chunk:
            break
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator
    assert await asyncio.to_thread(server.wait_for_stop)


async def test_cancelling_stops_the_run(server: LocalDify) -> None:
    transport = Watched()
    async with httpx.AsyncClient(transport=transport) as http_client:
        workflow = workflow_of(server, http_async_client=http_client)
        task = asyncio.create_task(workflow.ainvoke({"text": "/hang 3"}))
        await asyncio.wait_for(transport.began.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for_stop)


# The object ------------------------------------------------------------------------------------


def test_key_is_nowhere(server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    key = server.keys["workflow"]
    workflow = workflow_of(server)
    workflow.invoke({"text": TOPIC})
    assert key not in f"{workflow!r} {workflow.model_dump()}"
    pickled = pickle.dumps(workflow)
    assert key.encode() not in pickled
    monkeypatch.setenv("DIFY_API_KEY", key)
    assert "274" in pickle.loads(pickled).invoke({"text": TOPIC})["text"]
    monkeypatch.delenv("DIFY_API_KEY")
    assert "274" in copy.deepcopy(workflow).invoke({"text": TOPIC})["text"]
    with pytest.raises(ValueError, match="no API key"):
        pickle.loads(pickled).invoke({"text": TOPIC})


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="inpts"):
        DifyWorkflow(api_key="app-test", inpts={})
