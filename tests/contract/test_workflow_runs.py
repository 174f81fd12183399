"""Every recorded workflow run and run event stream through the clients, over a real socket."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from dify_api import Answer, AsyncDifyClient, DifyClient, DifyError, workflows
from dify_api.errors import WorkflowPausedError, WorkflowStoppedError
from tests.contract.exchanges import replayed
from tests.support.cassettes import Exchange, all_exchanges

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUNS = [
    exchange
    for exchange in all_exchanges()
    if exchange.path.startswith("/workflow") and exchange.path.endswith(("/run", "/events"))
]


def frames_of(exchange: Exchange) -> list[dict[str, Any]]:
    """The events of a stream; a blocking reply as its last one."""
    if exchange.is_stream:
        return [
            json.loads(frame.removeprefix(b"data: "))
            for frame in exchange.body.split(b"\n\n")
            if frame.startswith(b"data: ")
        ]
    body = json.loads(exchange.body)
    paused = body.get("data", {}).get("status") == "paused"
    return [{"event": "workflow_paused" if paused else "workflow_finished", **body}]


def check(outcome: Answer | DifyError, exchange: Exchange) -> None:
    if exchange.status >= 400:
        assert isinstance(outcome, DifyError)
        assert outcome.status == exchange.status
        return
    frames = frames_of(exchange)
    names = [frame["event"] for frame in frames]
    ends = [frame["data"] for frame in frames if frame["event"] == "workflow_finished"]
    if "workflow_paused" in names:
        assert isinstance(outcome, WorkflowPausedError)
        assert outcome.workflow_run_id == frames[-1]["workflow_run_id"]
    elif "error" in names or not ends:
        assert isinstance(outcome, DifyError)
        assert outcome.code == next((f["code"] for f in frames if f["event"] == "error"), None)
    elif ends[0]["status"] == "stopped" and "moderation" not in (ends[0]["error"] or ""):
        assert isinstance(outcome, WorkflowStoppedError)
        assert outcome.answer is not None
        assert outcome.answer.outputs == ends[0]["outputs"]
    elif ends[0]["status"] == "failed" and "message_end" not in names:
        assert isinstance(outcome, DifyError)
        assert outcome.message == ends[0]["error"]
    else:
        assert isinstance(outcome, Answer)
        assert outcome.outputs == ends[0]["outputs"]
        assert outcome.workflow is not None
        assert outcome.workflow.status == ends[0]["status"]
        assert outcome.workflow.total_tokens == ends[0]["total_tokens"]


@pytest.mark.parametrize("exchange", RUNS, ids=lambda exchange: exchange.name)
async def test_recorded_run(exchange: Exchange) -> None:
    with replayed(exchange) as base_url:
        if exchange.path.endswith("/events"):
            operation = workflows.events(str(uuid4()), user="ann")
        else:
            operation = workflows.run({}, user="ann")
        try:
            outcome: Answer | DifyError = DifyClient(
                "app-test", base_url=base_url, max_retries=0, recover=False
            ).send(operation)
        except DifyError as error:
            outcome = error
        check(outcome, exchange)
        try:
            outcome = await AsyncDifyClient(
                "app-test", base_url=base_url, max_retries=0, recover=False
            ).send(operation)
        except DifyError as error:
            outcome = error
        check(outcome, exchange)
