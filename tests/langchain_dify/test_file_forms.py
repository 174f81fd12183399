"""Forms that take choices and files, filled through LangGraph's interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from dify_api import files
from dify_local import LocalDify
from langchain_dify import DifyWorkflow
from tests.langchain_dify.support import needs_interrupts
from tests.support.file_form import PAPERS

pytestmark = needs_interrupts
CONFIG: Any = {"configurable": {"thread_id": "1"}}


class Outputs(TypedDict, total=False):
    outputs: dict[str, Any]


@pytest.fixture(scope="module")
def workflow() -> Iterator[DifyWorkflow]:
    with LocalDify(apps=[PAPERS]) as server:
        yield DifyWorkflow(
            api_key=server.keys["papers"],
            base_url=server.base_url,
            user="ann",
            human_input="interrupt",
        )


def graph_of(workflow: DifyWorkflow) -> Any:
    def node(_state: Outputs) -> Outputs:
        return {"outputs": workflow.invoke({})}

    graph = StateGraph(Outputs).add_node("app", node).add_edge(START, "app")
    return graph.compile(checkpointer=InMemorySaver())


def uploaded(workflow: DifyWorkflow) -> dict[str, Any]:
    """An upload, as forms and inputs name it."""
    return files.reference(
        workflow.client.send(files.upload(b"Rings.", user="ann", name="rings.txt"))
    )


def test_the_form_is_filled_with_uploads(workflow: DifyWorkflow) -> None:
    graph = graph_of(workflow)
    [interrupt] = graph.invoke({}, CONFIG)["__interrupt__"]
    properties = interrupt.value["response_schema"]["properties"]
    assert properties["risk"]["enum"] == ["low", "high"]
    assert properties["doc"]["properties"]["type"]["enum"] == ["document"]
    assert (properties["docs"]["type"], properties["docs"]["maxItems"]) == ("array", 2)
    doc = uploaded(workflow)
    reply = {"risk": "low", "note": "n", "doc": doc, "docs": [doc, doc], "action": "approve"}
    outputs = graph.invoke(Command(resume=reply), CONFIG)["outputs"]
    assert (outputs["risk"], outputs["note"]) == ("low", "n")
    assert outputs["doc"]["filename"] == "rings.txt"
    assert [file["filename"] for file in outputs["docs"]] == ["rings.txt", "rings.txt"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"risk": "none"}, "risk takes one of low, high"),
        ({"doc": "rings.txt"}, "doc takes a file reference"),
        ({"docs": [{}] * 3}, "docs takes a list of file references"),
    ],
)
def test_what_does_not_fit_is_asked_for_again(
    wrong: dict[str, Any], why: str, workflow: DifyWorkflow
) -> None:
    graph = graph_of(workflow)
    graph.invoke({}, CONFIG)
    doc = uploaded(workflow)
    reply = {"risk": "low", "note": "n", "doc": doc, "docs": [], "action": "approve"}
    [again] = graph.invoke(Command(resume={**reply, **wrong}), CONFIG)["__interrupt__"]
    assert why in again.value["error"]
    outputs = graph.invoke(Command(resume=reply), CONFIG)["outputs"]
    assert outputs["docs"] == []
