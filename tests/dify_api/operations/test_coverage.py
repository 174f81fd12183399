"""No operation of the official specification is forgotten."""

from __future__ import annotations

import inspect
import re
import typing
from pathlib import Path

import pytest

import dify_api
from dify_api import events
from tests.dify_api.operations.introspection import operation_functions, route, sample

SPECIFIED = {
    ("DELETE", "/apps/annotations/{annotation_id}"),
    ("DELETE", "/conversations/{conversation_id}"),
    ("DELETE", "/datasets/tags"),
    ("DELETE", "/datasets/{dataset_id}"),
    ("DELETE", "/datasets/{dataset_id}/documents/{document_id}"),
    ("DELETE", "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}"),
    (
        "DELETE",
        "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks/{child_chunk_id}",
    ),
    ("DELETE", "/datasets/{dataset_id}/metadata/{metadata_id}"),
    ("GET", "/app/feedbacks"),
    ("GET", "/apps/annotation-reply/{action}/status/{job_id}"),
    ("GET", "/apps/annotations"),
    ("GET", "/conversations"),
    ("GET", "/conversations/{conversation_id}/variables"),
    ("GET", "/datasets"),
    ("GET", "/datasets/tags"),
    ("GET", "/datasets/{dataset_id}"),
    ("GET", "/datasets/{dataset_id}/documents"),
    ("GET", "/datasets/{dataset_id}/documents/{batch}/indexing-status"),
    ("GET", "/datasets/{dataset_id}/documents/{document_id}"),
    ("GET", "/datasets/{dataset_id}/documents/{document_id}/download"),
    ("GET", "/datasets/{dataset_id}/documents/{document_id}/segments"),
    ("GET", "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}"),
    (
        "GET",
        "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks",
    ),
    ("GET", "/datasets/{dataset_id}/metadata"),
    ("GET", "/datasets/{dataset_id}/metadata/built-in"),
    ("GET", "/datasets/{dataset_id}/pipeline/datasource-plugins"),
    ("GET", "/datasets/{dataset_id}/tags"),
    ("GET", "/end-users/{end_user_id}"),
    ("GET", "/files/{file_id}/preview"),
    ("GET", "/form/human_input/{form_token}"),
    ("GET", "/info"),
    ("GET", "/messages"),
    ("GET", "/messages/{message_id}/suggested"),
    ("GET", "/meta"),
    ("GET", "/parameters"),
    ("GET", "/site"),
    ("GET", "/workflow/{workflow_run_id}/events"),
    ("GET", "/workflows/logs"),
    ("GET", "/workflows/run/{workflow_run_id}"),
    ("GET", "/workspaces/current/models/model-types/{model_type}"),
    ("PATCH", "/datasets/tags"),
    ("PATCH", "/datasets/{dataset_id}"),
    ("PATCH", "/datasets/{dataset_id}/documents/status/{action}"),
    ("PATCH", "/datasets/{dataset_id}/documents/{document_id}"),
    (
        "PATCH",
        "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks/{child_chunk_id}",
    ),
    ("PATCH", "/datasets/{dataset_id}/metadata/{metadata_id}"),
    ("POST", "/apps/annotation-reply/{action}"),
    ("POST", "/apps/annotations"),
    ("POST", "/audio-to-text"),
    ("POST", "/chat-messages"),
    ("POST", "/chat-messages/{task_id}/stop"),
    ("POST", "/completion-messages"),
    ("POST", "/completion-messages/{task_id}/stop"),
    ("POST", "/conversations/{conversation_id}/name"),
    ("POST", "/datasets"),
    ("POST", "/datasets/pipeline/file-upload"),
    ("POST", "/datasets/tags"),
    ("POST", "/datasets/tags/binding"),
    ("POST", "/datasets/tags/unbinding"),
    ("POST", "/datasets/{dataset_id}/document/create-by-file"),
    ("POST", "/datasets/{dataset_id}/document/create-by-text"),
    ("POST", "/datasets/{dataset_id}/documents/download-zip"),
    ("POST", "/datasets/{dataset_id}/documents/metadata"),
    ("POST", "/datasets/{dataset_id}/documents/{document_id}/segments"),
    ("POST", "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}"),
    (
        "POST",
        "/datasets/{dataset_id}/documents/{document_id}/segments/{segment_id}/child_chunks",
    ),
    ("POST", "/datasets/{dataset_id}/documents/{document_id}/update-by-file"),
    ("POST", "/datasets/{dataset_id}/documents/{document_id}/update-by-text"),
    ("POST", "/datasets/{dataset_id}/metadata"),
    ("POST", "/datasets/{dataset_id}/metadata/built-in/{action}"),
    ("POST", "/datasets/{dataset_id}/pipeline/datasource/nodes/{node_id}/run"),
    ("POST", "/datasets/{dataset_id}/pipeline/run"),
    ("POST", "/datasets/{dataset_id}/retrieve"),
    ("POST", "/files/upload"),
    ("POST", "/form/human_input/{form_token}"),
    ("POST", "/messages/{message_id}/feedbacks"),
    ("POST", "/text-to-audio"),
    ("POST", "/workflows/run"),
    ("POST", "/workflows/tasks/{task_id}/stop"),
    ("POST", "/workflows/{workflow_id}/run"),
    ("PUT", "/apps/annotations/{annotation_id}"),
    ("PUT", "/conversations/{conversation_id}/variables/{variable_id}"),
}
"""The 36 operations of an application, and the 46 of knowledge bases."""

FUNCTIONS = list(operation_functions())


def test_every_specified_operation_has_its_function() -> None:
    assert len(SPECIFIED) == 36 + 46
    assert {route(function) for function in FUNCTIONS} == SPECIFIED


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_the_operation_says_what_its_annotation_says(function: typing.Any) -> None:
    (result,) = typing.get_args(typing.get_type_hints(function)["return"])
    assert sample(function).result == result
    method, path = route(function)
    documented = inspect.getdoc(function) or ""
    if "/annotation-reply/{action}" not in path:
        assert f"`{method} {path}" in documented.replace("\n", " ")
    module = function.__module__.removeprefix("dify_api.endpoints.")
    assert module in dify_api.__all__


def test_the_table_of_endpoints_is_complete() -> None:
    table = (Path(__file__).parents[3] / "docs" / "endpoints.md").read_text()
    rows = set(re.findall(r"^\| `([A-Z]+) (\S+)` \| `(\S+)` \| `(\S+)` \| \S", table, re.MULTILINE))
    assert rows == {
        (*route(function), _short_name(function), _result_name(function)) for function in FUNCTIONS
    }


def _short_name(function: typing.Any) -> str:
    return f"{function.__module__.removeprefix('dify_api.endpoints.')}.{function.__name__}"


def test_the_table_of_the_documentation_has_each_event() -> None:
    page = (Path(__file__).parents[3] / "docs" / "endpoints.md").read_text()
    rows = page.partition("\n## Events\n")[2].partition("\n## ")[0].split("\n| ")[1:]
    told = {name for row in rows for name in re.findall("`(\\w+)`", row.partition(" | ")[0])}
    names = {
        kind.model_fields["event"].default
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, events.Event)
    }
    assert told == {name for name in names if isinstance(name, str) and name}


def _result_name(function: typing.Any) -> str:
    result = sample(function).result
    if typing.get_origin(result) is list:
        return f"list[{typing.get_args(result)[0].__name__}]"
    return "None" if result is type(None) else result.__name__


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_the_user_is_sent_wherever_the_endpoint_takes_one(function: typing.Any) -> None:
    if "user" not in inspect.signature(function).parameters:
        return
    operation = sample(function).as_sent()
    places = [operation.query, operation.json or {}, operation.form or {}]
    assert [place["user"] for place in places if "user" in place] == ["ann"]
    assert sample(function).user == "ann"
    assert "ann" not in repr(sample(function))
    with pytest.raises(ValueError, match="user must not be empty"):
        sample(function, user=" ")
