"""Runs that outlive a connection: started and come back to, and streams that break."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult

from dify_api.errors import StreamInterruptedError, WorkflowPausedError
from dify_local import LocalDify
from langchain_dify import ChatDify, DifyWorkflow

TEXT = "/tokens 40"


def workflow_of(server: LocalDify, **fields: Any) -> DifyWorkflow:
    given = {"api_key": server.keys["workflow"], "base_url": server.base_url, "user": "ann"}
    return DifyWorkflow(**{**given, **fields})


def posts(server: LocalDify, ending: str) -> int:
    return sum(r.method == "POST" and r.path.endswith(ending) for r in server.requests)


# Started and come back to ------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_started_run_is_waited_for(
    server: LocalDify, elsewhere: bool, is_async: bool
) -> None:
    workflow = workflow_of(server)
    expected = workflow.invoke({"text": TEXT})
    if is_async:
        begun = await workflow.astart({"text": TEXT})
        if elsewhere:
            begun = workflow_of(server).aattach(begun.workflow_run_id)
        outputs = await begun.wait()
    else:
        run = workflow.start({"text": TEXT})
        if elsewhere:
            run = workflow_of(server).attach(run.workflow_run_id)
        outputs = run.wait()
    assert outputs["text"] == expected["text"]
    assert posts(server, "/workflows/run") == 2
    assert posts(server, "/stop") == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_started_run_is_followed(server: LocalDify, is_async: bool) -> None:
    workflow = workflow_of(server)
    expected = workflow.invoke({"text": TEXT})
    if is_async:
        chunks = [chunk async for chunk in (await workflow.astart({"text": TEXT})).stream()]
    else:
        chunks = list(workflow.start({"text": TEXT}).stream())
    assert chunks[-1]["text"] == expected["text"]
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged = merged + chunk
    assert merged == chunks[-1]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_started_run_is_stopped(server: LocalDify, is_async: bool) -> None:
    workflow = workflow_of(server)
    if is_async:
        run_id = (begun := await workflow.astart({"text": "/hang 3"})).workflow_run_id
        await begun.stop()
    else:
        run = workflow.start({"text": "/hang 3"})
        run_id = run.workflow_run_id
        workflow_of(server).attach(run_id).stop()
    assert posts(server, "/stop") == 1
    assert run_id


def test_a_started_run_that_waits_for_a_human(server: LocalDify) -> None:
    workflow = workflow_of(server)
    run = workflow.start({"text": "/pause The draft."})
    with pytest.raises(WorkflowPausedError) as caught:
        run.wait()
    assert caught.value.forms
    reply = {"comment": "Fine.", "action": "approve"}
    answer = workflow.client.resume(run.workflow_run_id, reply, user="ann")
    assert "Fine." in (answer.outputs or {})["text"]
    assert "Fine." in workflow.attach(run.workflow_run_id).wait()["text"]
    assert posts(server, "/workflows/run") == 1


def test_inputs_are_checked_before_a_run_is_started(server: LocalDify) -> None:
    with pytest.raises(ValueError, match="misspelt"):
        workflow_of(server).start({"text": TEXT, "misspelt": 1})
    assert posts(server, "/workflows/run") == 0
    with pytest.raises(ValueError, match="workflow_run_id"):
        workflow_of(server).attach("no id")


# Streams that break ------------------------------------------------------------------------------


class Answers(BaseCallbackHandler):
    """What callbacks are told of answers."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ends: list[str] = []
        self.errors: list[BaseException] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(str(token))

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        if kwargs["parent_run_id"] is None:  # not a node of the app
            self.ends.append(response.generations[0][0].text)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


CUTS = [1500, 3000, 6000]
"""Bytes of a stream, after which its connection is cut: before, in and after its text."""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("after", CUTS)
async def test_a_chatflow_whose_connection_is_cut_answers_whole(
    server: LocalDify, after: int, is_async: bool
) -> None:
    given = {"api_key": server.keys["advanced-chat"], "base_url": server.base_url, "user": "ann"}
    model, path = ChatDify(**given), "/chat-messages"
    whole = text_of(model.invoke(TEXT))
    cut = server.fault("drop", after_bytes=after, path=path)
    told = Answers()
    config: Any = {"callbacks": [told]}
    if is_async:
        chunks: list[Any] = [chunk async for chunk in model.astream(TEXT, config)]
    else:
        chunks = list(model.stream(TEXT, config))
    assert cut.happened == 1
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged = merged + chunk
    assert text_of(merged) == whole
    assert "".join(text_of(chunk) for chunk in chunks) == whole
    assert ("".join(told.tokens), told.ends, told.errors) == (whole, [whole], [])
    server.fault("drop", after_bytes=after, path=path)
    assert text_of(await model.ainvoke(TEXT) if is_async else model.invoke(TEXT)) == whole
    assert posts(server, path) == 3
    assert posts(server, "/stop") == 0


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("after", CUTS)
async def test_a_workflow_whose_connection_is_cut_ends_whole(
    server: LocalDify, after: int, is_async: bool
) -> None:
    workflow = workflow_of(server)
    whole = workflow.invoke({"text": TEXT})["text"]
    cut = server.fault("drop", after_bytes=after, path="/workflows/run")
    if is_async:
        chunks = [chunk async for chunk in workflow.astream({"text": TEXT})]
    else:
        chunks = list(workflow.stream({"text": TEXT}))
    *progress, outputs = chunks
    assert cut.happened == 1
    assert outputs["text"] == whole
    # Text that was written meanwhile is in the outputs alone, where there are several.
    assert whole.startswith("".join(chunk.get("text", "") for chunk in progress))
    assert posts(server, "/workflows/run") == 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_recovery_can_be_switched_off(server: LocalDify, is_async: bool) -> None:
    workflow = workflow_of(server, recover=False)
    server.fault("drop", after_bytes=1500, path="/workflows/run")
    with pytest.raises(StreamInterruptedError) as caught:
        await workflow.ainvoke({"text": TEXT}) if is_async else workflow.invoke({"text": TEXT})
    assert caught.value.answer
    assert caught.value.answer.workflow_run_id


def text_of(answer: Any) -> str:
    return str(answer.text)
