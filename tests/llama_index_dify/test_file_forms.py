"""Forms that take choices and files, filled by the events of LlamaIndex's workflows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step

from dify_api import DifyClient, files
from dify_local import LocalDify
from llama_index_dify import DifyInputRequiredEvent, DifyWorkflow
from tests.support.file_form import PAPERS


@pytest.fixture(scope="module")
def server() -> Iterator[LocalDify]:
    with LocalDify(apps=[PAPERS]) as server:
        yield server


@pytest.fixture
def papers(server: LocalDify) -> DifyWorkflow:
    return DifyWorkflow(api_key=server.keys["papers"], base_url=server.base_url, user="ann")


@pytest.fixture
def doc(server: LocalDify) -> dict[str, Any]:
    """An upload, as forms and inputs name it."""
    client = DifyClient(server.keys["papers"], base_url=server.base_url)
    return files.reference(client.send(files.upload(b"Rings.", user="ann", name="rings.txt")))


class Reading(Workflow):
    def __init__(self, papers: DifyWorkflow) -> None:
        super().__init__(timeout=30)
        self._papers = papers

    @step
    async def read(self, ctx: Context, ev: StartEvent) -> StopEvent:
        response = await self._papers.arun({}, ctx=ctx)
        return StopEvent(result=response.outputs)


async def test_the_form_is_filled_with_uploads(papers: DifyWorkflow, doc: dict[str, Any]) -> None:
    values = {"risk": "low", "note": "n", "doc": doc, "docs": [doc, doc], "action": "approve"}
    handler = Reading(papers).run()
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            schema = event.forms[0].response_schema()
            handler.ctx.send_event(event.response(values))
    outputs = await handler
    assert schema["properties"]["risk"]["enum"] == ["low", "high"]
    assert schema["properties"]["docs"]["maxItems"] == 2
    assert (outputs["risk"], outputs["note"]) == ("low", "n")
    assert outputs["doc"]["filename"] == "rings.txt"
    assert [file["filename"] for file in outputs["docs"]] == ["rings.txt", "rings.txt"]


async def test_what_does_not_fit_is_refused_before_it_is_sent(
    papers: DifyWorkflow, doc: dict[str, Any]
) -> None:
    values = {"risk": "low", "note": "n", "doc": doc, "docs": [], "action": "approve"}
    handler = Reading(papers).run()
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            for wrong, why in (
                ({"risk": "none"}, "risk takes one of low, high"),
                ({"doc": "rings.txt"}, "doc takes a file reference"),
                ({"docs": [doc] * 3}, "docs takes a list of file references"),
            ):
                with pytest.raises(ValueError, match=why):
                    event.response({**values, **wrong})
            handler.ctx.send_event(event.response(values))
    assert (await handler)["docs"] == []
