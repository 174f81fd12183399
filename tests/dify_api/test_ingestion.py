"""A source is brought into a knowledge base, whatever happens on the way."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from dify_api import AsyncDifyClient, DifyClient, documents, knowledge, metadata
from dify_api._calls.knowledge import indexing
from dify_api._calls.knowledge.ingestion import aingest, ingest
from dify_api._calls.knowledge.knowledge_base import KnowledgeBase
from dify_api._calls.knowledge.source_documents import SourceDocument
from dify_api._calls.knowledge.stored_documents import stored_document
from dify_api._runs.flows import run
from dify_api.errors import (
    ConnectionFailedError,
    FileTooLargeError,
    ForbiddenError,
    IndexingError,
    KnowledgeQuotaError,
    KnowledgeRateLimitError,
    NotFoundError,
    ServerError,
    UnauthorizedError,
)
from dify_local import LocalDify
from tests.support.killed import Killed, KilledAfter
from tests.support.replay import Received, ReplayServer, Reply

_numbers = itertools.count()


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture
def server(shared_server: LocalDify) -> LocalDify:
    shared_server.clear()
    return shared_server


@pytest.fixture
def client(server: LocalDify) -> DifyClient:
    return DifyClient(server.dataset_key, base_url=server.base_url)


@pytest.fixture
def name() -> str:
    return f"Ingested {next(_numbers)}"


def source(id_: str, text: str, **known: Any) -> SourceDocument:
    return SourceDocument(id_, f"{id_}.md", text, metadata=known)


MOONS = [
    source("saturn", "Saturn has 146 moons.", planet="Saturn", count=146),
    source("jupiter", "Jupiter has 95 moons.", planet="Jupiter", count=95),
    source("mars", "Mars has 2 moons.", planet="Mars", count=2),
]


def stored(client: DifyClient, name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """What is in the knowledge base, by the ids of the source; refuses duplicates and leftovers."""
    base = KnowledgeBase(name=name)
    dataset_id = run(client, base.found())
    known = list(run(client, base.catalogue()))
    there = list(client.iterate(documents.list_documents(dataset_id, limit=100)))
    assert len(there) == len(known) == len({found.source_id for found in known})
    assert all(document.indexing_status == "completed" for document in there)
    found = {}
    for one in known:
        document = run(client, stored_document(dataset_id, one.source_id, one.document_id))
        assert document is not None
        found[one.source_id] = (document.text, document.metadata)
    return found


def as_stored(sources: list[SourceDocument]) -> dict[str, tuple[str, dict[str, Any]]]:
    return {one.id: (one.text, dict(one.metadata)) for one in sources}


def test_documents_are_written_once(server: LocalDify, client: DifyClient, name: str) -> None:
    base = KnowledgeBase(name=name)
    assert ingest(client, base, MOONS) == MOONS
    assert stored(client, name) == as_stored(MOONS)
    server.clear_requests()
    assert ingest(client, base, MOONS) == []
    assert server.requests == []
    assert ingest(client, KnowledgeBase(name=name), MOONS) == []
    assert {request.method for request in server.requests} == {"GET"}
    assert len(server.requests) == 2  # the knowledge base, and what it holds


async def test_async(server: LocalDify, client: DifyClient, name: str) -> None:
    async_client = AsyncDifyClient(server.dataset_key, base_url=server.base_url)
    base = KnowledgeBase(name=name)
    assert await aingest(async_client, base, MOONS) == MOONS
    assert await asyncio.to_thread(stored, client, name) == as_stored(MOONS)


def test_requests_are_proportional_to_what_changed(
    server: LocalDify, client: DifyClient, name: str
) -> None:
    many = [source(f"doc-{n}", f"Planet {n} has {n} moons.", number=n) for n in range(30)]
    ingest(client, KnowledgeBase(name=name), many)
    changed = [*many[:-1], source("doc-29", "Planet 29 has lost its moons.", number=29)]
    server.clear_requests()
    assert ingest(client, KnowledgeBase(name=name), changed) == changed[-1:]
    writes = [request for request in server.requests if request.method != "GET"]
    assert len(writes) == 3  # marked, written, described
    waits = [request for request in server.requests if "indexing-status" in request.path]
    assert len(server.requests) - len(waits) <= 7
    assert stored(client, name) == as_stored(changed)


def test_changed_metadata_are_written_without_the_text(
    server: LocalDify, client: DifyClient, name: str
) -> None:
    ingest(client, KnowledgeBase(name=name), MOONS)
    changed = source("mars", "Mars has 2 moons.", planet="Mars", count=2, found=1877)
    server.clear_requests()
    assert ingest(client, KnowledgeBase(name=name), [changed]) == [changed]
    writes = [
        request.path.rsplit("/", 1)[-1] for request in server.requests if request.method != "GET"
    ]
    assert writes == ["metadata", "metadata"]  # the new field, the values
    assert stored(client, name) == as_stored([*MOONS[:2], changed])


def test_a_document_without_text_is_deleted(client: DifyClient, name: str) -> None:
    base = KnowledgeBase(name=name)
    ingest(client, base, MOONS)
    assert ingest(client, base, [source("mars", "  ")]) == [source("mars", "  ")]
    assert stored(client, name) == as_stored(MOONS[:2])
    assert ingest(client, base, [source("mars", ""), source("venus", "")]) == []


def test_segments_stay_as_they_were_split(client: DifyClient, name: str) -> None:
    texts = ("Saturn has rings.\n\nThey are bright.", "---segment---", "Titan is a moon.")
    base = KnowledgeBase(name=name)
    ingest(client, base, [SourceDocument("saturn", "saturn.md", segments=texts)])
    known = run(client, base.catalogue()).get("saturn")
    assert known is not None
    found = run(client, stored_document(str(base.dataset_id), "saturn", known.document_id))
    assert found is not None
    assert tuple(segment.content for segment in found.segments) == texts
    ingest(client, base, MOONS[:1])  # under another id than before it was split
    whole = source("saturn", "Saturn has rings.\n\nThey are bright.")
    ingest(client, base, [whole])
    assert stored(client, name)["saturn"] == (whole.text, {})


def ingest_killed(
    server: LocalDify, requests: int, name: str, sources: list[SourceDocument], **options: Any
) -> bool:
    """Ingest with a client that dies after so many requests; whether it did."""
    with httpx.Client(transport=KilledAfter(requests)) as transport:
        client = DifyClient(server.dataset_key, base_url=server.base_url, http_client=transport)
        try:
            ingest(client, KnowledgeBase(name=name), sources, **options)
        except Killed:
            return True
    return False


@pytest.mark.parametrize(
    ("max_concurrency", "step"), [(1, 4), (4, 3), pytest.param(1, 1, marks=pytest.mark.slow)]
)
def test_a_run_killed_anywhere_is_completed_by_the_next(
    server: LocalDify, client: DifyClient, max_concurrency: int, step: int
) -> None:
    before = [*MOONS[1:], source("pluto", "Pluto is a planet.")]
    now = [
        source("jupiter", "Jupiter has 97 moons.", planet="Jupiter", count=97),
        source("mars", "Mars has 2 moons.", planet="Mars", count=2, found=1877),
        source("venus", "Venus has no moon.", planet="Venus", count=0),
        source("pluto", ""),
    ]
    for number in itertools.count(1, step):
        name = f"Killed {max_concurrency} {number}"
        killed = []
        for sources in (before, now):
            options = {"max_concurrency": max_concurrency}
            killed.append(ingest_killed(server, number, name, sources, **options))
            ingest(client, KnowledgeBase(name=name), sources)
            there = [one for one in sources if one.text]
            assert stored(client, name) == as_stored(there), number
        if not any(killed):
            break
    assert number > 15


_KILLED = """
import sys
import time
from dify_api import DifyClient
from dify_api._calls.knowledge.ingestion import ingest
from dify_api._calls.knowledge.knowledge_base import KnowledgeBase
from dify_api._calls.knowledge.source_documents import SourceDocument

name, key, url = sys.argv[1:]
sources = [SourceDocument(f"{n}", f"{n}.md", f"Moon {n}.") for n in range(20)]
ingest(DifyClient(key, base_url=url), KnowledgeBase(name=name), sources)
"""


def test_a_process_that_is_killed_leaves_what_the_next_completes(
    server: LocalDify, client: DifyClient, name: str
) -> None:
    arguments = [sys.executable, "-c", _KILLED, name, server.dataset_key, server.base_url]
    process = subprocess.Popen(arguments)
    server.wait_for_requests(8, path="create-by-text", timeout=60)
    process.kill()
    process.wait()
    subprocess.run(arguments, check=True, timeout=120)
    assert stored(client, name) == {f"{n}": (f"Moon {n}.", {}) for n in range(20)}


def test_what_was_changed_back_after_a_kill_is_not_taken_for_unchanged(
    server: LocalDify, client: DifyClient
) -> None:
    changed = [source("mars", "Mars has 3 moons.", planet="Mars", count=2)]
    for number in itertools.count(1):
        name = f"Back {number}"
        ingest(client, KnowledgeBase(name=name), MOONS[2:])
        killed = ingest_killed(server, number, name, changed)
        ingest(client, KnowledgeBase(name=name), MOONS[2:])
        assert stored(client, name) == as_stored(MOONS[2:]), number
        if not killed:
            break
    assert number > 5


def test_a_request_of_unknown_outcome_leaves_no_duplicate(
    server: LocalDify, client: DifyClient, name: str
) -> None:
    base = KnowledgeBase(name=name)
    server.fault("drop", path="create-by-text")  # it is written, and nobody hears of it
    with pytest.raises(ConnectionFailedError):
        ingest(client, base, MOONS, max_concurrency=1)
    ingest(client, base, MOONS)
    assert stored(client, name) == as_stored(MOONS)
    server.fault("status", status=500, path="/documents/")
    with pytest.raises(ServerError):
        run(client, base.delete("mars"))
    server.clear_requests()
    ingest(client, base, MOONS)
    assert stored(client, name) == as_stored(MOONS)


def test_duplicates_of_others_are_removed(server: LocalDify, client: DifyClient, name: str) -> None:
    first, second = KnowledgeBase(name=name), KnowledgeBase(name=name)
    run(client, first.catalogue())
    run(client, second.catalogue())
    ingest(client, first, MOONS)
    ingest(client, second, MOONS[:1])  # has not heard of it
    third = KnowledgeBase(name=name)
    assert len(list(run(client, third.catalogue()))) == 4
    assert ingest(client, third, MOONS) == MOONS[:1]
    assert stored(client, name) == as_stored(MOONS)


def test_documents_of_others_are_left_alone(client: DifyClient, name: str) -> None:
    base = KnowledgeBase(name=name)
    dataset_id = run(client, base.found())
    other = documents.create_by_text(
        dataset_id, "mars.md", "Mars is red, said somebody else.", indexing_technique="high_quality"
    )
    there = client.send(other).document.id
    ingest(client, base, MOONS)
    ids = [one.id for one in client.iterate(documents.list_documents(dataset_id))]
    assert there in ids
    assert len(ids) == 4


def test_a_failure_of_indexing_names_the_document(
    server: LocalDify, tmp_path: Path, client: DifyClient, name: str
) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"no PDF at all")
    sources = [*MOONS, SourceDocument("broken", "broken.pdf", file=broken)]
    with pytest.raises(IndexingError, match="'broken' could not be indexed: ") as failed:
        ingest(client, KnowledgeBase(name=name), sources)
    assert set(failed.value.errors) == {"broken"}
    found = list(
        client.iterate(documents.list_documents(str(run(client, KnowledgeBase(name=name).found()))))
    )
    assert sorted(one.indexing_status or "" for one in found) == ["completed"] * 3 + ["error"]
    broken.write_text("Now it is a text.")
    good = SourceDocument("broken", "broken.md", file=broken)
    ingest(client, KnowledgeBase(name=name), [*MOONS, good])
    assert stored(client, name)["broken"][0] == "Now it is a text."


def test_a_limit_of_requests_is_waited_for(
    server: LocalDify, client: DifyClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_LIMITED", (0.01,) * 3)
    limit = {
        "code": "forbidden",
        "message": "Sorry, you have reached the knowledge base request rate limit of your "
        "subscription.",
        "status": 403,
    }
    fault = server.fault("status", status=403, body=limit, times=2, path="create-by-text")
    ingest(client, KnowledgeBase(name=name), MOONS, max_concurrency=1)
    assert fault.happened == 2
    assert stored(client, name) == as_stored(MOONS)
    server.fault("status", status=403, body=limit, times=9, path="create-by-text")
    with pytest.raises(KnowledgeRateLimitError) as refused:
        ingest(client, KnowledgeBase(name=name), [source("io", "Io is a moon.")])
    assert refused.value.retryable
    assert len([r for r in server.requests if "create-by" in r.path]) == 2 + 3 + 4


def test_errors_are_typed_and_end_the_run(
    server: LocalDify, client: DifyClient, name: str, tmp_path: Path
) -> None:
    quota = {
        "code": "forbidden",
        "message": "The number of documents has reached the limit of your subscription.",
        "status": 403,
    }
    server.fault("status", status=403, body=quota, times=9, path="create-by-text")
    with pytest.raises(KnowledgeQuotaError) as refused:
        ingest(client, KnowledgeBase(name=name), MOONS, max_concurrency=1)
    assert isinstance(refused.value, ForbiddenError)
    assert not refused.value.retryable
    assert len([r for r in server.requests if "create-by" in r.path]) == 1
    server.clear_requests()
    large = {"code": "file_too_large", "message": "File size exceeded.", "status": 413}
    server.fault("status", status=413, body=large, path="create-by-file")
    file = tmp_path / "large.md"
    file.write_text("large")
    with pytest.raises(FileTooLargeError):
        ingest(client, KnowledgeBase(name=name), [SourceDocument("large", "large.md", file=file)])
    wrong = DifyClient("dataset-wrong", base_url=server.base_url)
    with pytest.raises(UnauthorizedError):
        ingest(wrong, KnowledgeBase(name=name), MOONS)


def test_waiting_goes_on_as_long_as_there_is_progress(name: str) -> None:
    with LocalDify(indexing_delay=0.2) as slow:
        client = DifyClient(slow.dataset_key, base_url=slow.base_url)
        ingest(client, KnowledgeBase(name=name), MOONS)
        assert stored(client, name) == as_stored(MOONS)
        later = source("io", "Io is a moon.")
        ingest(client, KnowledgeBase(name=name), [later], wait=False)
        base = KnowledgeBase(name=name)
        assert ingest(client, base, [later]) == []  # but it is waited for
        assert stored(client, name)["io"] == ("Io is a moon.", {})
        with pytest.raises(IndexingError, match="no progress for 0"):
            impatient = KnowledgeBase(name=name, indexing_timeout=0.0)
            ingest(client, impatient, [source("europa", "Europa is a moon.")])


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_failure_ends_the_waiting_of_the_others(name: str, is_async: bool) -> None:
    with LocalDify(indexing_delay=60) as slow:
        slow.fault("status", status=401, path="indexing-status")
        base = KnowledgeBase(name=name)
        begun = time.monotonic()
        with pytest.raises(UnauthorizedError):
            if is_async:
                async_client = AsyncDifyClient(slow.dataset_key, base_url=slow.base_url)
                await aingest(async_client, base, MOONS)
            else:
                ingest(DifyClient(slow.dataset_key, base_url=slow.base_url), base, MOONS)
        assert time.monotonic() - begun < 30  # and not for as long as the server indexes


def test_a_server_without_metadata_is_told_of(name: str) -> None:
    def old(request: Received) -> Reply:
        if request.path.startswith("/v1/datasets?") or request.path == "/v1/datasets":
            body = {"data": [{"id": "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10", "name": name}]}
            return Reply(200, {"content-type": "application/json"}, [json.dumps(body).encode()])
        if request.path.split("?")[0].endswith("/documents"):
            return Reply(200, {"content-type": "application/json"}, [b'{"data": []}'])
        return Reply(404, {"content-type": "text/html"}, [b"<title>404 Not Found</title>"])

    with ReplayServer(old) as server:
        client = DifyClient("dataset-key", base_url=server.base_url)
        with pytest.raises(NotFoundError, match=r"needs Dify 1\.1\.0 or later"):
            ingest(client, KnowledgeBase(name=name), MOONS)


def test_metadata_come_back_and_fields_have_types(client: DifyClient, name: str) -> None:
    known = {
        "source": "docs/a.md",
        "document_name": "mine",
        "original_source": "taken",
        "external_id": "theirs",
        "year": 1610,
        "weight": 2.5,
        "tags": ["a", "b"],
        "nested": {"a": {"b": None}},
        "draft": False,
        "nothing": None,
        "seen": datetime(2024, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=2))),
        "day": date(2024, 5, 1),
        "empty": "",
        "json": "[1]",
    }
    base = KnowledgeBase(name=name)
    ingest(client, base, [source("a", "Text A", **known)])
    ingest(client, base, [source("b", "Text B", year="unknown", tags="none", seen="never", json=3)])
    found = stored(client, name)
    assert found["a"][1] == known
    assert found["b"][1] == {"year": "unknown", "tags": "none", "seen": "never", "json": 3}
    fields = {
        field.name: field.type
        for field in client.send(metadata.list_fields(str(base.dataset_id))).doc_metadata
    }
    assert {fields["year"], fields["weight"]} == {"number"}
    assert {fields["seen"], fields["day"]} == {"time"}
    assert fields["tags"] == fields["original_source"] == "string"


def test_names_that_no_field_can_have(client: DifyClient, server: LocalDify, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a field"):
        ingest(client, KnowledgeBase(name=name), [SourceDocument("a", "a", "x", metadata={"": 1})])
    assert server.requests == []
    with pytest.raises(ValueError, match="dataset_id of a knowledge base, or the name"):
        KnowledgeBase()


def test_a_knowledge_base_is_found_by_its_name(client: DifyClient, name: str) -> None:
    client.send(knowledge.create(f"{name} and more"))
    first = run(client, KnowledgeBase(name=name).found())
    assert run(client, KnowledgeBase(name=name).found()) == first
