"""Knowledge bases of the local server: written, indexed, filtered, retrieved from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dify_local import LocalDify
from tests.dify_local.support import pdf

SETTINGS = {
    "search_method": "semantic_search",
    "reranking_enable": False,
    "top_k": 5,
    "score_threshold_enabled": False,
}


class Knowledge:
    """Calls the knowledge endpoints of a server, and expects success where not told otherwise."""

    def __init__(self, server: LocalDify) -> None:
        self.client = httpx.Client(
            base_url=server.base_url,
            headers={"Authorization": f"Bearer {server.dataset_key}"},
            verify=False,
        )

    def call(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        response = self.client.request(method, path, json=body)
        assert response.status_code == status, response.text
        return response.json() if response.content.strip() else None

    def create(self, name: str, technique: str = "high_quality") -> str:
        body = {"name": name, "indexing_technique": technique}
        return f"/datasets/{self.call('POST', '/datasets', body)['id']}"

    def add(self, dataset: str, name: str, text: str, **more: object) -> str:
        body = {"name": name, "text": text, "indexing_technique": "high_quality", **more}
        made = self.call("POST", f"{dataset}/document/create-by-text", body)
        assert self.wait(dataset, made["batch"])["indexing_status"] == "completed"
        return str(made["document"]["id"])

    def wait(self, dataset: str, batch: str) -> Any:
        for _ in range(500):
            progress = self.call("GET", f"{dataset}/documents/{batch}/indexing-status")["data"][0]
            if progress["indexing_status"] in {"completed", "error"}:
                return progress
        raise AssertionError("the document is not indexed")

    def find(self, dataset: str, query: str, **settings: object) -> list[str]:
        body = {"query": query, "retrieval_model": {**SETTINGS, **settings}}
        records = self.call("POST", f"{dataset}/retrieve", body)["records"]
        return [record["segment"]["document"]["name"] for record in records]


@pytest.fixture(scope="module")
def knowledge() -> Iterator[Knowledge]:
    with LocalDify() as server:
        calls = Knowledge(server)
        yield calls
        calls.client.close()


def test_documents_are_written_changed_and_deleted(knowledge: Knowledge) -> None:
    dataset = knowledge.create("written")
    tea = knowledge.add(dataset, "tea", "Green tea is steeped at 80 degrees.")
    knowledge.add(dataset, "coffee", "Coffee is brewed at 92 degrees.")
    assert knowledge.find(dataset, "green tea")[0] == "tea"
    change = {"name": "white tea", "text": "White tea is steeped at 70 degrees."}
    path = f"{dataset}/documents/{tea}"
    changed = knowledge.call("POST", f"{path}/update-by-text", change)
    assert changed["document"]["id"] == tea
    knowledge.wait(dataset, changed["batch"])
    assert knowledge.find(dataset, "tea", search_method="full_text_search") == ["white tea"]
    knowledge.call("DELETE", path, status=204)
    assert knowledge.find(dataset, "tea") == ["coffee"]
    assert knowledge.call("GET", path, status=404)["code"] == "not_found"


def test_a_document_that_cannot_be_indexed_says_why(knowledge: Knowledge) -> None:
    dataset = knowledge.create("failing")
    body = {"name": "x", "text": "/fail out of paper", "indexing_technique": "high_quality"}
    batch = knowledge.call("POST", f"{dataset}/document/create_by_text", body)["batch"]
    progress = knowledge.wait(dataset, batch)
    assert (progress["indexing_status"], progress["error"]) == ("error", "out of paper")


def test_indexing_goes_through_its_states() -> None:
    with LocalDify(indexing_delay=0.05) as server:
        knowledge = Knowledge(server)
        dataset = knowledge.create("slow")
        body = {"name": "x", "text": "Some text.", "indexing_technique": "high_quality"}
        batch = knowledge.call("POST", f"{dataset}/document/create-by-text", body)["batch"]
        seen = dict.fromkeys(_states(knowledge, f"{dataset}/documents/{batch}/indexing-status"))
        knowledge.client.close()
    assert list(seen) == ["waiting", "parsing", "splitting", "indexing", "completed"]


def _states(knowledge: Knowledge, path: str) -> Iterator[str]:
    status = ""
    while status != "completed":
        status = knowledge.call("GET", path)["data"][0]["indexing_status"]
        yield status


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        ("contains", "in", ["rings"]),
        ("not contains", "moo", ["none", "rings"]),
        ("start with", "ri", ["rings"]),
        ("end with", "s", ["moons", "rings"]),
        ("is", "moons", ["moons"]),
        ("is not", "moons", ["none", "rings"]),
        ("in", ["moons", "rings"], ["moons", "rings"]),
        ("in", "moons, rings", ["moons", "rings"]),
        ("not in", ["moons"], ["none", "rings"]),
        ("not empty", None, ["moons", "none", "rings"]),
        ("is", None, ["empty", "moons", "none", "rings"]),
    ],
)
def test_text_filters(
    filtered: tuple[Knowledge, str], operator: str, value: object, found: list[str]
) -> None:
    assert _found(filtered, "topic", operator, value) == found


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        ("=", 1877, ["moons"]),
        ("=", "1877", ["moons"]),
        ("≠", 1877, ["none", "rings"]),
        (">", 1700, ["moons", "none"]),
        ("<", 1877, ["rings"]),
        ("≥", 1877, ["moons", "none"]),
        ("≤", 1877, ["moons", "rings"]),
        ("in", ["1877", "2006"], ["moons", "none"]),
        ("empty", None, ["empty"]),
        ("after", 1877, ["none"]),
        ("before", 1877, ["rings"]),
        ("is", 1610, ["rings"]),
    ],
)
def test_number_filters(
    filtered: tuple[Knowledge, str], operator: str, value: object, found: list[str]
) -> None:
    assert _found(filtered, "year", operator, value) == found


def test_filters_that_find_nothing_or_are_refused(filtered: tuple[Knowledge, str]) -> None:
    assert _found(filtered, "unknown", "is", "x") == []
    knowledge, dataset = filtered
    for condition, status in [
        ({"name": "year", "comparison_operator": "before", "value": "2024-05-01"}, 500),
        ({"name": "topic", "comparison_operator": "==", "value": "x"}, 400),
    ]:
        model = {**SETTINGS, "metadata_filtering_conditions": {"conditions": [condition]}}
        body = {"query": "x", "retrieval_model": model}
        knowledge.call("POST", f"{dataset}/retrieve", body, status=status)


def _found(filtered: tuple[Knowledge, str], name: str, operator: str, value: object) -> list[str]:
    knowledge, dataset = filtered
    condition = {"name": name, "comparison_operator": operator, "value": value}
    conditions = {"logical_operator": "and", "conditions": [condition]}
    return sorted(knowledge.find(dataset, "text", metadata_filtering_conditions=conditions))


@pytest.fixture(scope="module")
def filtered(knowledge: Knowledge) -> tuple[Knowledge, str]:
    """A knowledge base whose documents have metadata, but for one."""
    dataset = knowledge.create("filtered")
    fields = [
        knowledge.call("POST", f"{dataset}/metadata", {"name": name, "type": kind}, status=201)
        for name, kind in [("topic", "string"), ("year", "number")]
    ]
    operations = []
    for name, year in [("moons", 1877), ("rings", 1610), ("none", 2006), ("empty", None)]:
        document = knowledge.add(dataset, name, f"A text about {name}.")
        values = [
            {**field, "value": value} for field, value in zip(fields, [name, year], strict=True)
        ]
        if year:
            operations.append({"document_id": document, "metadata_list": values})
    body = {"operation_data": operations}
    knowledge.call("POST", f"{dataset}/documents/metadata", body)
    return knowledge, dataset


def test_metadata_comes_back(filtered: tuple[Knowledge, str]) -> None:
    knowledge, dataset = filtered
    body = {"query": "moons", "retrieval_model": SETTINGS}
    record = knowledge.call("POST", f"{dataset}/retrieve", body)["records"][0]
    assert record["segment"]["document"]["doc_metadata"] == {"topic": "moons", "year": 1877}
    counts = knowledge.call("GET", f"{dataset}/metadata")["doc_metadata"]
    assert {field["name"]: field["count"] for field in counts} == {"topic": 3, "year": 3}
    listed = knowledge.call("GET", f"{dataset}/documents?keyword=moons")["data"][0]
    assert [(one["name"], one["value"]) for one in listed["doc_metadata"]] == [
        ("topic", "moons"),
        ("year", 1877),
    ]


def test_segments(knowledge: Knowledge) -> None:
    dataset = knowledge.create("segments")
    document = knowledge.add(dataset, "fruit", "Apples are red.")
    path = f"{dataset}/documents/{document}/segments"
    body = {"segments": [{"content": "Pears are green.", "keywords": ["pear"]}]}
    [made] = knowledge.call("POST", path, body)["data"]
    assert (made["position"], made["keywords"], made["word_count"]) == (2, ["pear"], 16)
    assert knowledge.find(dataset, "green pears", top_k=1) == ["fruit"]
    change = {"segment": {"content": "Plums are blue."}}
    assert knowledge.call("POST", f"{path}/{made['id']}", change)["data"]["content"] == (
        "Plums are blue."
    )
    assert knowledge.call("GET", path)["total"] == 2
    knowledge.call("POST", f"{path}/{made['id']}", {"segment": {"enabled": False}})
    assert knowledge.find(dataset, "plums", search_method="full_text_search") == []
    knowledge.call("DELETE", f"{path}/{made['id']}", status=204)
    assert knowledge.call("GET", path)["total"] == 1


def test_what_was_written_survives_the_process(tmp_path: Path) -> None:
    database = tmp_path / "local.db"
    with LocalDify(database=database) as server:
        knowledge = Knowledge(server)
        dataset = knowledge.create("kept")
        knowledge.add(dataset, "tea", "Green tea is steeped at 80 degrees.")
        shipped = f"/datasets/{server.dataset_id}"
        listed = knowledge.call("GET", f"{shipped}/documents")["data"]
        knowledge.call("DELETE", f"{shipped}/documents/{listed[0]['id']}", status=204)
        knowledge.client.close()
    with LocalDify(database=database) as server:
        knowledge = Knowledge(server)
        assert knowledge.find(dataset, "tea") == ["tea"]
        again = knowledge.call("GET", f"{shipped}/documents")["data"]
        assert [one["id"] for one in again] == [one["id"] for one in listed[1:]]
        knowledge.client.close()


def test_indexing_goes_on_after_the_process_has_ended(tmp_path: Path) -> None:
    database = tmp_path / "local.db"
    with LocalDify(database=database, indexing_delay=60) as server:
        knowledge = Knowledge(server)
        dataset = knowledge.create("cut")
        body = {"name": "tea", "text": "Green tea.", "indexing_technique": "high_quality"}
        batch = knowledge.call("POST", f"{dataset}/document/create-by-text", body)["batch"]
        knowledge.client.close()
    with LocalDify(database=database) as server:
        knowledge = Knowledge(server)
        assert knowledge.wait(dataset, batch)["indexing_status"] == "completed"
        assert knowledge.find(dataset, "tea") == ["tea"]
        knowledge.client.close()


def test_files_are_uploaded_replaced_and_downloaded(knowledge: Knowledge) -> None:
    dataset = knowledge.create("files")
    made = _upload(knowledge, "POST", f"{dataset}/document/create-by-file", "a.csv", b"n,v\nx,1\n")
    knowledge.wait(dataset, made["batch"])
    path = f"{dataset}/documents/{made['document']['id']}"
    assert knowledge.call("GET", f"{path}/segments")["data"][0]["content"] == "n: x;v: 1"
    changed = _upload(knowledge, "PATCH", path, "b.txt", "Été.".encode())
    assert changed["document"]["name"] == "b.txt"
    knowledge.wait(dataset, changed["batch"])
    url = knowledge.call("GET", f"{path}/download")["url"]
    assert httpx.get(url).content == "Été.".encode()
    ids = {"document_ids": [made["document"]["id"]]}
    archive = knowledge.client.post(f"{dataset}/documents/download-zip", json=ids).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == {"b.txt": "Été.".encode()}
    broken = _upload(knowledge, "POST", f"{dataset}/document/create-by-file", "c.pdf", b"no")
    assert "PDF" in knowledge.wait(dataset, broken["batch"])["error"]


def test_a_pdf_is_read(knowledge: Knowledge) -> None:
    pytest.importorskip("pypdf", reason="PDFs are an extra of their own")
    dataset = knowledge.create("pdfs")
    content = pdf("The wombat eats grass.")
    made = _upload(knowledge, "POST", f"{dataset}/document/create-by-file", "a.pdf", content)
    knowledge.wait(dataset, made["batch"])
    segments = knowledge.call("GET", f"{dataset}/documents/{made['document']['id']}/segments")
    assert segments["data"][0]["content"] == "The wombat eats grass."


def _upload(knowledge: Knowledge, method: str, path: str, name: str, content: bytes) -> Any:
    response = knowledge.client.request(
        method,
        path,
        data={"data": '{"process_rule": {"mode": "automatic"}}'},
        files={"file": (name, content, "text/plain")},
    )
    assert response.status_code == 200, response.text
    return response.json()


def test_switched_off_and_archived_documents_are_not_found(knowledge: Knowledge) -> None:
    dataset = knowledge.create("switched")
    document = knowledge.add(dataset, "tea", "Green tea.")
    ids = {"document_ids": [document]}
    for off, on in [("disable", "enable"), ("archive", "un_archive")]:
        knowledge.call("PATCH", f"{dataset}/documents/status/{off}", ids)
        assert knowledge.find(dataset, "tea") == []
        knowledge.call("PATCH", f"{dataset}/documents/status/{on}", ids)
        assert knowledge.find(dataset, "tea") == ["tea"]


def test_a_document_is_locked_while_the_index_follows_its_switch() -> None:
    with LocalDify(indexing_delay=0.05) as server:
        knowledge = Knowledge(server)
        dataset = knowledge.create("locked")
        ids = {"document_ids": [knowledge.add(dataset, "tea", "Green tea.")]}
        path = f"{dataset}/documents/status"
        knowledge.call("PATCH", f"{path}/disable", ids)
        refused = knowledge.call("PATCH", f"{path}/enable", ids, status=400)
        knowledge.client.close()
    assert refused["code"] == "invalid_action"


def test_child_chunks_find_their_segment(knowledge: Knowledge) -> None:
    dataset = knowledge.create("tree")
    rules = {
        "segmentation": {"separator": "\n\n", "max_tokens": 500},
        "parent_mode": "paragraph",
        "subchunk_segmentation": {"separator": "\n", "max_tokens": 200},
    }
    document = knowledge.add(
        dataset,
        "tree",
        "Mars is red.\nMars has two moons.\n\nVenus is hot.",
        doc_form="hierarchical_model",
        process_rule={"mode": "hierarchical", "rules": rules},
    )
    path = f"{dataset}/documents/{document}/segments"
    segment = knowledge.call("GET", path)["data"][0]
    assert [one["content"] for one in segment["child_chunks"]] == [
        "Mars is red.",
        "Mars has two moons.",
    ]
    chunks = f"{path}/{segment['id']}/child_chunks"
    knowledge.call("POST", chunks, {"content": "Its volcano is Olympus Mons."})
    body = {"query": "olympus volcano", "retrieval_model": {**SETTINGS, "top_k": 1}}
    [record] = knowledge.call("POST", f"{dataset}/retrieve", body)["records"]
    assert record["segment"]["content"].startswith("Mars is red.")
    assert record["child_chunks"][0]["content"] == "Its volcano is Olympus Mons."


def test_tags_choose_among_knowledge_bases(knowledge: Knowledge) -> None:
    dataset = knowledge.create("tagged")
    tag = knowledge.call("POST", "/datasets/tags", {"name": "drinks"})
    target = dataset.rpartition("/")[2]
    body = {"tag_ids": [tag["id"]], "target_id": target}
    knowledge.call("POST", "/datasets/tags/binding", body, status=204)
    found = knowledge.call("GET", f"/datasets?tag_ids={tag['id']}")["data"]
    assert [one["name"] for one in found] == ["tagged"]
    assert knowledge.call("GET", "/datasets/tags")[0]["binding_count"] == "1"
    body = {"tag_id": tag["id"], "target_id": target}
    knowledge.call("POST", "/datasets/tags/unbinding", body, status=204)
    assert knowledge.call("GET", f"{dataset}/tags") == {"data": [], "total": 0}


def test_a_pipeline_makes_documents(knowledge: Knowledge) -> None:
    datasets = knowledge.call("GET", "/datasets?keyword=Pipeline")["data"]
    dataset = f"/datasets/{datasets[0]['id']}"
    assert datasets[0]["runtime_mode"] == "rag_pipeline"
    response = knowledge.client.post(
        "/datasets/pipeline/file-upload",
        files={"file": ("p.txt", b"One line.\nTwo.", "text/plain")},
    )
    info = {"reference": response.json()["id"], "name": "p.txt"}
    body = {
        "inputs": {"note": "x"},
        "datasource_type": "local_file",
        "datasource_info_list": [info],
        "start_node_id": "file",
        "is_published": True,
        "response_mode": "streaming",
    }
    run = knowledge.call("POST", f"{dataset}/pipeline/run", body)
    assert knowledge.wait(dataset, run["batch"])["total_segments"] == 2
    draft = {**body, "is_published": False, "response_mode": "blocking"}
    outputs = knowledge.call("POST", f"{dataset}/pipeline/run", draft)["data"]["outputs"]
    assert [one["content"] for one in outputs["preview"]] == ["One line.", "Two."]
