from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from dify_api import DifyClient, documents, knowledge
from dify_local import LocalDify
from langchain_dify import DifyRetriever, DifyVectorStore

_numbers = itertools.count()
MakeStore = Callable[..., DifyVectorStore]

MOONS = [
    Document(page_content="Saturn has 146 moons.", metadata={"source": "saturn.md", "count": 146}),
    Document(page_content="Jupiter has 95 moons.", metadata={"source": "jupiter.md", "count": 95}),
    Document(page_content="Mars has 2 moons.", metadata={"source": "mars.md", "count": 2}),
]


@pytest.fixture
def make(server: LocalDify) -> MakeStore:
    """Makes stores over one new knowledge base."""
    name = f"Store {next(_numbers)}"

    def make(**given: Any) -> DifyVectorStore:
        return DifyVectorStore(
            name=name, api_key=server.dataset_key, base_url=server.base_url, **given
        )

    return make


def load(folder: Path) -> list[Document]:
    """As a loader of text files does."""
    return [
        Document(page_content=file.read_text(), metadata={"source": file.name})
        for file in sorted(folder.glob("*.md"))
    ]


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text)


def held(server: LocalDify, store: DifyVectorStore) -> list[str]:
    """The names of all documents, whoever has written them."""
    client = DifyClient(server.dataset_key, base_url=server.base_url)
    assert store.dataset_id
    listed = client.iterate(documents.list_documents(store.dataset_id, limit=100))
    return sorted(document.name for document in listed)


def writes(server: LocalDify) -> list[str]:
    return [r.path for r in server.requests if r.method != "GET" and "/retrieve" not in r.path]


def test_found_passages_have_the_id_and_metadata_of_their_document(make: MakeStore) -> None:
    store = make()
    ids = store.add_documents(MOONS)
    found = store.similarity_search("How many moons has Saturn?", k=1)
    assert found == [
        Document(id=ids[0], page_content=MOONS[0].page_content, metadata=MOONS[0].metadata)
    ]
    assert make().get_by_ids(ids[1:]) == [
        Document(id=id_, page_content=one.page_content, metadata=one.metadata)
        for id_, one in zip(ids[1:], MOONS[1:], strict=True)
    ]


async def test_async(make: MakeStore) -> None:
    store = make()
    ids = await store.aadd_texts(["Titan is a moon."], [{"planet": "Saturn"}], ids=["titan"])
    assert ids == ["titan"]
    assert [d.id for d in await store.asimilarity_search("Titan", k=1)] == ["titan"]
    [(document, score)] = await store.asimilarity_search_with_score("Titan", k=1)
    assert document.metadata == {"planet": "Saturn"}
    assert 0 < score <= 1
    assert (await store.aget_by_ids(["titan"]))[0].page_content == "Titan is a moon."
    await store.adelete(["titan", "unknown"])
    assert await store.aget_by_ids(["titan"]) == []


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"source": "mars.md"}, ["mars.md"]),
        ({"count": {">": 50, "<": 100}}, ["jupiter.md"]),
        ({"source": ["mars.md", "saturn.md"]}, ["mars.md", "saturn.md"]),
        ({"source": {"start with": "jup"}}, ["jupiter.md"]),
        ({"source": "venus.md"}, []),
    ],
)
def test_filters_are_on_the_metadata(
    make: MakeStore, conditions: dict[str, Any], expected: list[str]
) -> None:
    store = make()
    store.add_documents(MOONS)
    found = store.similarity_search("moons", k=9, filter=conditions)
    assert sorted(document.metadata["source"] for document in found) == expected
    retriever = store.as_retriever(search_kwargs={"k": 9, "filter": conditions})
    assert retriever.invoke("moons") == found


def test_relevance(make: MakeStore) -> None:
    store = make()
    store.add_documents(MOONS)
    scored = store.similarity_search_with_relevance_scores("moons of Saturn", k=3)
    assert scored == store.similarity_search_with_score("moons of Saturn", k=3)
    best = scored[0][1]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": best}
    )
    assert [d.metadata["source"] for d in retriever.invoke("moons of Saturn")] == ["saturn.md"]
    with pytest.raises(NotImplementedError, match="gives no embeddings away"):
        store.as_retriever(search_type="mmr").invoke("moons")


def test_from_documents_takes_an_embedding_and_ignores_it(server: LocalDify) -> None:
    options: dict[str, Any] = {"api_key": server.dataset_key, "base_url": server.base_url}
    store = DifyVectorStore.from_documents(MOONS, None, name="From documents", **options)
    again = DifyVectorStore.from_texts(["Io is a moon."], name="From documents", **options)
    assert again.similarity_search("Io", k=1)[0].page_content == "Io is a moon."
    assert again.dataset_id == store.dataset_id
    assert len(held(server, store)) == 4


def test_the_retriever_shows_the_id_of_the_source(server: LocalDify, make: MakeStore) -> None:
    store = make()
    [id_] = store.add_documents(MOONS[:1])
    retriever = DifyRetriever(
        api_key=server.dataset_key, base_url=server.base_url, dataset_id=str(store.dataset_id)
    )
    [found] = retriever.invoke("Saturn")
    assert found.metadata["external_id"] == id_
    assert found.metadata["source"] == "saturn.md"
    assert found.metadata["count"] == 146
    assert found.id != id_  # the segment's
    assert "metadata_forms" not in found.metadata


@pytest.mark.parametrize("cleanup", ["incremental", "full", "scoped_full"])
def test_index_writes_what_has_changed(
    server: LocalDify, make: MakeStore, tmp_path: Path, cleanup: Any
) -> None:
    records = InMemoryRecordManager("moons")
    records.create_schema()

    def run() -> dict[str, int]:
        server.clear_requests()
        return dict(
            index(
                load(tmp_path),
                records,
                make(),
                cleanup=cleanup,
                source_id_key="source",
                key_encoder="sha256",
            )
        )

    write(tmp_path, saturn="Saturn has 146 moons.", mars="Mars has 2 moons.", moon="The Moon.")
    assert run() == {"num_added": 3, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
    assert run() == {"num_added": 0, "num_updated": 0, "num_skipped": 3, "num_deleted": 0}
    assert server.requests == []
    write(tmp_path, saturn="Saturn has 274 moons.")
    (tmp_path / "moon.md").rename(tmp_path / "luna.md")
    deleted = {"incremental": 1, "scoped_full": 1, "full": 2}[cleanup]
    assert run() == {"num_added": 2, "num_updated": 0, "num_skipped": 1, "num_deleted": deleted}
    assert len(writes(server)) <= 2 * 2 + deleted
    (tmp_path / "mars.md").unlink()
    assert run()["num_deleted"] == (1 if cleanup == "full" else 0)
    store = make()
    texts = {d.page_content for d in store.similarity_search("Saturn has moons", k=9)}
    assert "Saturn has 274 moons." in texts
    assert "Saturn has 146 moons." not in texts
    if cleanup == "full":
        assert held(server, store) == ["luna.md", "saturn.md"]


async def test_aindex(server: LocalDify, make: MakeStore, tmp_path: Path) -> None:
    records = InMemoryRecordManager("moons")
    write(tmp_path, saturn="Saturn has 146 moons.", mars="Mars has 2 moons.")
    for added in (2, 0):
        server.clear_requests()
        result = await aindex(load(tmp_path), records, make(), cleanup="full", key_encoder="sha256")
        assert result["num_added"] == added
    assert server.requests == []


def test_first_mistakes(server: LocalDify, make: MakeStore) -> None:
    with pytest.raises(ValueError, match="dataset_id of a knowledge base, or the name"):
        DifyVectorStore(api_key=server.dataset_key)
    with pytest.raises(TypeError, match="unexpected argument: chunk_size"):
        make(chunk_size=3)
    with pytest.raises(ValueError, match="max_concurrency must be 1 or more"):
        make(max_concurrency=0)
    store = make()
    with pytest.raises(ValueError, match="2 ids for 1 documents"):
        store.add_documents(MOONS[:1], ids=["a", "b"])
    with pytest.raises(ValueError, match="ids must be a list"):
        store.delete()
    with pytest.raises(TypeError, match="did you mean filter"):
        store.similarity_search("moons", metadata_filter={})
    with pytest.raises(ValueError, match="max_tokens must be 50 or more"):
        make(process_rule={"rules": {"segmentation": {"max_tokens": 3}}})
    assert server.requests == []
    assert server.dataset_key not in repr(vars(store)) + repr(store)


def test_a_long_document_is_split_by_dify_and_read_back_whole(make: MakeStore) -> None:
    text = "\n\n".join(f"Moon {n}. " + "It is far away. " * 40 for n in range(9))
    store = make()
    store.add_documents([Document(page_content=text, metadata={"source": "m.md"}, id="moons")])
    found = store.similarity_search("Moon", k=20)
    assert len(found) > 1
    assert {document.id for document in found} == {"moons"}
    [whole] = store.get_by_ids(["moons"])
    assert whole.page_content.split() == text.split()


def test_economy(server: LocalDify, make: MakeStore) -> None:
    store = make(indexing_technique="economy")
    store.add_documents(MOONS)
    client = DifyClient(server.dataset_key, base_url=server.base_url)
    dataset = client.send(knowledge.dataset(str(store.dataset_id)))
    assert dataset.indexing_technique == "economy"
    assert store.similarity_search("Saturn", k=1)[0].metadata == MOONS[0].metadata


@pytest.mark.parametrize("in_threads", [False, True])
async def test_calls_that_come_first_at_once(
    server: LocalDify, make: MakeStore, in_threads: bool
) -> None:
    store, begun = make(), len(writes(server))

    async def add(number: int) -> list[str]:
        metadata = {"number": number, f"field {number}": "x"}
        given = [Document(page_content="A comet.", metadata=metadata, id=f"d{number}")]
        if in_threads:
            return await asyncio.to_thread(store.add_documents, given)
        return await store.aadd_documents(given)

    await asyncio.gather(*(add(number) for number in range(6)))
    assert sum(path.endswith("/datasets") for path in writes(server)[begun:]) == 1
    found = {d.id: d.metadata for d in store.get_by_ids([f"d{n}" for n in range(6)])}
    assert found == {f"d{n}": {"number": n, f"field {n}": "x"} for n in range(6)}
