"""Every operation of the official specification has an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from dify_local import LocalDify
from tests.dify_api.operations.test_coverage import SPECIFIED

_ID = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
def newest() -> Iterator[tuple[LocalDify, httpx.Client]]:
    with (
        LocalDify(version="1.17.0") as server,
        httpx.Client(base_url=server.base_url, verify=False) as client,
    ):
        yield server, client


@pytest.mark.parametrize(("method", "path"), sorted(SPECIFIED, key=lambda one: one[::-1]))
def test_the_operation_is_answered(
    newest: tuple[LocalDify, httpx.Client], method: str, path: str
) -> None:
    server, client = newest
    of_knowledge = path.startswith(("/datasets", "/workspaces"))
    key = server.dataset_key if of_knowledge else server.keys[_app(path)]
    path = path.replace("{dataset_id}", server.dataset_id).replace("{model_type}", "llm")
    path = re.sub(r"\{action\}", "enable", path)
    path = re.sub(r"\{\w+\}", _ID, path)
    body = None if method == "GET" else {}
    response = client.request(method, path, json=body, headers={"Authorization": f"Bearer {key}"})
    # What is not there is told so by the operation, in JSON, not by the router, in HTML.
    assert response.headers["content-type"].startswith("application/json")
    assert response.status_code not in {401, 405, 500, 501}


def _app(path: str) -> str:
    if path.startswith(("/workflow", "/form")):
        return "workflow"
    return "completion" if path.startswith("/completion") else "chat"
