from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import dify_local
from dify_local import LocalDify
from dify_local._answers.directives import _STEPS, find_directive
from dify_local._answers.reply import tokens
from dify_local._storage.knowledge import SHIPPED_DOCUMENTS, Knowledge
from tests.dify_local.support import Caller, knowledge_over


@pytest.fixture(scope="module")
def knowledge() -> Iterator[Knowledge]:
    with knowledge_over(SHIPPED_DOCUMENTS) as shipped:
        yield shipped


def test_scores_lie_between_0_and_1_and_fall(knowledge: Knowledge) -> None:
    scores = [hit.score for hit in knowledge.retrieve("moons of the planets", top_k=10)]
    assert len(scores) == 10
    assert all(0 < score < 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_top_k_limits_what_is_found(knowledge: Knowledge) -> None:
    assert len(knowledge.retrieve("moons", top_k=2)) == 2


def test_nothing_is_found_where_nothing_fits(knowledge: Knowledge) -> None:
    assert knowledge.retrieve("xylophone") == []


@pytest.mark.parametrize("query", ["", "?", "the of and", '"', "NEAR(", "a* OR b:c -d", "\x00"])
def test_no_query_breaks_the_search(knowledge: Knowledge, query: str) -> None:
    assert isinstance(knowledge.retrieve(query), list)


def test_ids_are_the_same_in_every_process() -> None:
    with knowledge_over(SHIPPED_DOCUMENTS) as first:
        ids = _segment_ids(first)
    with knowledge_over(SHIPPED_DOCUMENTS) as second:
        assert _segment_ids(second) == ids
    assert len(set(ids)) == len(ids) > 40


def _segment_ids(knowledge: Knowledge) -> list[str]:
    documents = knowledge.documents
    return [one.id for document in documents for one in knowledge.tables.segments(document.id)]


def test_own_documents(tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("# Tea\n\nGreen tea is steeped\nat 80 degrees.\n\nMore.")
    (tmp_path / "notes.txt").write_text("Coffee needs 92 degrees.")
    (tmp_path / "skipped.png").write_bytes(b"\x00")
    with knowledge_over(tmp_path) as own:
        assert [document.title for document in own.documents] == ["notes", "Tea"]
        best = own.retrieve("green tea")[0]
    assert best.segment.content == "Green tea is steeped at 80 degrees."


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="absent"),
        knowledge_over(tmp_path / "absent"),
    ):
        pass


@pytest.mark.parametrize("said", ["", " ", "one", " two  words\n\nnext ", "é 世界 x", "\n"])
def test_tokens_join_to_the_text(said: str) -> None:
    assert "".join(tokens(said)) == said


@pytest.mark.parametrize(
    ("query", "directive"),
    [
        ("/echo one\ntwo", ("echo", "one\ntwo")),
        ("  /hang", ("hang", "")),
        ("System: be brief\nHuman: /echo one\nHuman: /tokens 3\nmore", ("tokens", "3")),
        ("What is /echo?", None),
        ("/unknown thing", None),
        ("/echoes", None),
    ],
)
def test_directives_are_found(query: str, directive: tuple[str, str] | None) -> None:
    assert find_directive(query) == directive


def test_the_listed_directives_are_those_there_are() -> None:
    listed = re.findall(r"^ {4}/(\w+) ", dify_local.__doc__ or "", re.MULTILINE)
    assert listed == list(_STEPS)
    assert all(find_directive(f"/{name}") == (name, "") for name in listed)


def test_a_server_over_own_documents(tmp_path: Path) -> None:
    folder = tmp_path / "drinks"
    folder.mkdir()
    (folder / "tea.md").write_text("# Tea\n\nGreen tea is steeped at 80 degrees.")
    with LocalDify(documents=folder) as server, Caller(server, "chat") as mine:
        answer = mine.ask("How hot should green tea be?")
        mine.client.headers["Authorization"] = f"Bearer {server.dataset_key}"
        dataset = mine.client.get(f"/datasets/{server.dataset_id}").json()
    assert answer["answer"].endswith("Green tea is steeped at 80 degrees.")
    assert answer["metadata"]["retriever_resources"][0]["dataset_name"] == "drinks"
    assert (dataset["name"], dataset["document_count"]) == ("drinks", 1)
    with pytest.raises(FileNotFoundError, match="absent"):
        LocalDify(documents=tmp_path / "absent").start()


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"search_method": "full_text_search", "top_k": 1}, 1),
        ({"search_method": "semantic_search", "top_k": 4}, 4),
        ({"search_method": "keyword_search", "top_k": 4}, 4),
        ({"search_method": "hybrid_search", "top_k": 9, "score_threshold": 0.999}, 0),
    ],
)
def test_retrieval_settings(server: LocalDify, model: dict[str, Any], found: int) -> None:
    threshold = "score_threshold" in model
    whole = {**model, "reranking_enable": False, "score_threshold_enabled": threshold}
    headers = {"Authorization": f"Bearer {server.dataset_key}"}
    path = f"{server.base_url}/datasets/{server.dataset_id}/hit-testing"
    body = {"query": "moons", "retrieval_model": whole}
    records = httpx.post(path, json=body, headers=headers).json()["records"]
    assert len(records) == found
    if model["search_method"] == "keyword_search":
        assert {record["score"] for record in records} == {None}
    body["retrieval_model"] = model
    incomplete = httpx.post(path, json=body, headers=headers)
    assert (incomplete.status_code, incomplete.json()["code"]) == (400, "invalid_param")
