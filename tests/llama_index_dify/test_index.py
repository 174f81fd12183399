from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import (
    MockEmbedding,
    SimpleDirectoryReader,
    StorageContext,
    VectorStoreIndex,
)
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import MarkdownNodeParser, SentenceSplitter
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from dify_api import DifyClient, documents
from dify_local import LocalDify
from llama_index_dify import Dify, DifyIndex, EmbedInDify

_numbers = itertools.count()
MakeIndex = Callable[..., DifyIndex]

MOONS = [
    Document(id_="saturn", text="Saturn has 146 moons.", metadata={"file": "s.md", "count": 146}),
    Document(id_="jupiter", text="Jupiter has 95 moons.", metadata={"file": "j.md", "count": 95}),
    Document(id_="mars", text="Mars has 2 moons.", metadata={"file": "m.md", "tags": ["red"]}),
]

LONG = " ".join(f"Saturn's moon number {n} is made of ice." for n in range(20))
SPLITTER = SentenceSplitter(chunk_size=60, chunk_overlap=0)


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture
def local(shared: LocalDify) -> LocalDify:
    shared.clear()
    return shared


@pytest.fixture
def make(local: LocalDify) -> MakeIndex:
    """Makes indexes over one new knowledge base."""
    name = f"Index {next(_numbers)}"

    def make(**given: Any) -> DifyIndex:
        return DifyIndex(name=name, api_key=local.dataset_key, base_url=local.base_url, **given)

    return make


def texts(index: DifyIndex, query: str = "moons", **arguments: Any) -> list[str]:
    found = index.as_retriever(similarity_top_k=20, **arguments).retrieve(query)
    return sorted(node.text for node in found)


def held(local: LocalDify, index: DifyIndex) -> list[str]:
    client = DifyClient(local.dataset_key, base_url=local.base_url)
    listed = client.iterate(documents.list_documents(str(index.dataset_id), limit=100))
    return sorted(document.name for document in listed)


def writes(local: LocalDify) -> list[str]:
    return [r.path for r in local.requests if r.method != "GET" and "/retrieve" not in r.path]


def test_documents_and_what_is_found_of_them(local: LocalDify) -> None:
    index = DifyIndex.from_documents(
        MOONS,
        name="From documents",
        show_progress=True,
        api_key=local.dataset_key,
        base_url=local.base_url,
    )
    assert [document.embedding for document in MOONS] == [None] * 3
    [found] = index.as_retriever(similarity_top_k=1).retrieve("Which moons has Saturn?")
    assert found.text == "Saturn has 146 moons."
    assert found.node.ref_doc_id == "saturn"
    assert found.metadata["count"] == 146
    assert found.metadata["external_id"] == "saturn"
    assert "external_id" in found.node.excluded_llm_metadata_keys
    info = index.ref_doc_info
    assert set(info) == {"saturn", "jupiter", "mars"} == set(index.ref_doc_ids)
    assert info["mars"].metadata == {"file": "m.md", "tags": ["red"]}
    assert info["saturn"].node_ids == [found.node.node_id]


def test_refresh(local: LocalDify, make: MakeIndex) -> None:
    make().refresh_ref_docs(MOONS)
    local.clear_requests()
    assert make().refresh_ref_docs(MOONS) == [False, False, False]
    assert writes(local) == []
    now = [
        MOONS[0],
        Document(id_="jupiter", text="Jupiter has 97 moons.", metadata=MOONS[1].metadata),
        Document(id_="venus", text="Venus has no moons."),
    ]
    assert make().refresh_ref_docs(now, delete_missing=True) == [False, True, True]
    assert texts(make()) == sorted(document.text for document in now)
    assert len(writes(local)) <= 3 + 2 + 1


async def test_async(local: LocalDify, make: MakeIndex) -> None:
    index = make()
    await index.ainsert(MOONS[0])
    assert await index.arefresh_ref_docs(MOONS) == [False, True, True]
    found = await index.as_retriever(similarity_top_k=9).aretrieve("moons")
    assert len(found) == 3
    await index.aupdate_ref_doc(Document(id_="mars", text="Mars has two moons."))
    await index.adelete_ref_doc("saturn")
    await index.ainsert_nodes([TextNode(id_="n", text="Pluto has 5 moons.")])
    await index.adelete_nodes(["n"])
    assert await index.arefresh_ref_docs(MOONS[1:2], delete_missing=True) == [False]
    found = await index.as_retriever(similarity_top_k=9).aretrieve("moons")
    assert [node.text for node in found] == ["Jupiter has 95 moons."]


def test_a_folder_round_trip(local: LocalDify, make: MakeIndex, tmp_path: Path) -> None:
    def load() -> list[Document]:
        return SimpleDirectoryReader(str(tmp_path), filename_as_id=True).load_data()

    for number in range(12):
        (tmp_path / f"{number}.md").write_text(f"Moon {number} is small.")
    make().refresh_ref_docs(load())
    (tmp_path / "1.md").write_text("Moon 1 is large.")
    (tmp_path / "2.md").rename(tmp_path / "two.md")
    (tmp_path / "3.md").unlink()
    local.clear_requests()
    index = make()
    assert sum(index.refresh_ref_docs(load(), delete_missing=True)) == 2
    assert len(writes(local)) <= 3 + 2 + 2
    expected = {f"Moon {n} is small." for n in range(12) if n not in (1, 3)} | {"Moon 1 is large."}
    assert set(texts(make(), "Moon")) == expected
    assert held(local, index) == sorted(file.name for file in tmp_path.iterdir())


def test_documents_whose_ids_change_with_each_run(local: LocalDify, make: MakeIndex) -> None:
    def load() -> list[Document]:
        return [Document(text=one.text, metadata=one.metadata) for one in MOONS]

    first, second = make(), make()
    assert first.refresh_ref_docs(load()) == [True] * 3
    again = load()
    assert second.refresh_ref_docs(again) == [False] * 3
    second.delete_ref_doc(again[0].id_)
    assert len(held(local, second)) == 2


def test_nodes_are_the_segments_of_their_document(local: LocalDify, make: MakeIndex) -> None:
    document = Document(id_="saturn", text=LONG, metadata={"file": "s.md"})
    nodes = SPLITTER.get_nodes_from_documents([document])
    assert len(nodes) > 1
    index = make()
    index.insert_nodes(nodes)
    assert texts(index, "Saturn moons rings") == sorted(node.get_content() for node in nodes)
    assert index.ref_doc_ids == ["saturn"]
    local.clear_requests()
    index.insert_nodes(nodes)
    assert writes(local) == []
    more = TextNode(text="Enceladus is one of the moons.", metadata={"file": "s.md"})
    more.relationships = nodes[0].relationships
    index.insert_nodes([nodes[0], more])
    assert len(index.ref_doc_info["saturn"].node_ids) == len(nodes) + 1
    index.delete_nodes([nodes[0].node_id])
    assert nodes[0].get_content() not in texts(index)
    [found] = index.as_retriever(similarity_top_k=1).retrieve("Enceladus")
    make().delete_nodes([found.node.node_id])
    make().delete_nodes([found.node.node_id], ref_doc_id="saturn")  # is skipped
    assert more.get_content() not in texts(index)
    assert len(index.ref_doc_info["saturn"].node_ids) == len(nodes) - 1


def test_metadata_of_nodes(make: MakeIndex) -> None:
    text = "# Saturn\n\nIt has rings.\n\n## Titan\n\nIt has seas."
    document = Document(id_="saturn", text=text, metadata={"file": "s.md"})
    nodes = MarkdownNodeParser().get_nodes_from_documents([document])
    index = make()
    index.insert_nodes(nodes)
    for node in nodes:
        [found] = index.as_retriever(similarity_top_k=1).retrieve(node.get_content())
        assert found.text == node.get_content()
        assert node.metadata.items() <= found.metadata.items()
    assert index.ref_doc_info["saturn"].metadata == {"file": "s.md"}


def test_transformations(make: MakeIndex) -> None:
    index = make(transformations=[SPLITTER])
    index.insert(Document(id_="saturn", text=LONG))
    count = len(SPLITTER.get_nodes_from_documents([Document(text=LONG)]))
    assert len(index.ref_doc_info["saturn"].node_ids) == count > 1


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("upserts", [True, False])
def test_the_sink_of_a_pipeline(
    local: LocalDify, make: MakeIndex, split: bool, upserts: bool
) -> None:
    docstore = SimpleDocumentStore()
    strategy = DocstoreStrategy.UPSERTS_AND_DELETE if upserts else DocstoreStrategy.DUPLICATES_ONLY

    def run(given: list[Document]) -> None:
        local.clear_requests()
        IngestionPipeline(
            transformations=[*([SPLITTER] if split else []), EmbedInDify()],
            docstore=docstore,
            docstore_strategy=strategy,
            vector_store=make().vector_store,
        ).run(documents=given)

    run(MOONS)
    assert texts(make()) == sorted(document.text for document in MOONS)
    run(MOONS)
    assert local.requests == []
    changed = Document(id_="jupiter", text="Jupiter has 97 moons.", metadata=MOONS[1].metadata)
    run([MOONS[0], changed])
    expected = {MOONS[0].text, changed.text} | (set() if upserts else {MOONS[2].text})
    assert set(texts(make())) == expected
    assert len(writes(local)) <= 6


async def test_an_async_pipeline(make: MakeIndex) -> None:
    pipeline = IngestionPipeline(
        transformations=[EmbedInDify()],
        docstore=SimpleDocumentStore(),
        vector_store=make().vector_store,
    )
    await pipeline.arun(documents=MOONS)
    await pipeline.arun(
        documents=[Document(id_="mars", text="Mars has two moons.", metadata={"file": "m.md"})]
    )
    assert "Mars has two moons." in texts(make())
    assert "Mars has 2 moons." not in texts(make())


def test_more_nodes_of_a_document_in_a_later_batch(make: MakeIndex) -> None:
    store = make().vector_store
    document = Document(id_="saturn", text="whole")
    nodes = SentenceSplitter().get_nodes_from_documents([document, document])
    nodes[0].set_content("Titan is a moon.")
    nodes[1].set_content("Rhea is a moon.")
    store.add(nodes[:1])
    store.add(nodes[1:])
    assert texts(make(), "moon") == ["Rhea is a moon.", "Titan is a moon."]
    store.delete("saturn")
    store.add(nodes[1:])
    assert texts(make(), "moon") == ["Rhea is a moon."]


async def test_queries_of_the_vector_store(make: MakeIndex) -> None:
    store = make().vector_store
    store.add(MOONS)
    over_it = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(4))
    retriever = over_it.as_retriever(similarity_top_k=1)
    for found in (retriever.retrieve("Saturn"), await retriever.aretrieve("Saturn")):
        assert [(one.node.ref_doc_id, one.text) for one in found] == [
            ("saturn", "Saturn has 146 moons.")
        ]
    by_text = VectorStoreQuery(query_str="Mars", mode=VectorStoreQueryMode.TEXT_SEARCH)
    result = store.query(by_text)
    assert [node.get_content() for node in result.nodes or []] == ["Mars has 2 moons."]
    for wrong, message in (
        (VectorStoreQuery(query_embedding=[1.0]), "give query_str"),
        (VectorStoreQuery(query_str="x", mode=VectorStoreQueryMode.MMR), "no search like"),
        (VectorStoreQuery(query_str="x", doc_ids=["mars"]), "use filters"),
    ):
        with pytest.raises(ValueError, match=message):
            store.query(wrong)


def test_filters_are_on_the_metadata_that_were_given(make: MakeIndex) -> None:
    index = make()
    for source in ("a", "b"):
        index.insert(Document(id_=source, text=f"Moons of {source}", metadata={"source": source}))
    filters = MetadataFilters(
        filters=[MetadataFilter(key="source", operator=FilterOperator.EQ, value="a")]
    )
    assert texts(index, filters=filters) == ["Moons of a"]
    retriever = index.as_retriever(similarity_top_k=9)
    assert [n.text for n in retriever.retrieve("Moons", filters=filters)] == ["Moons of a"]


def test_engines(local: LocalDify, make: MakeIndex) -> None:
    index = make()
    index.insert(MOONS[0])
    llm = Dify(api_key=local.keys["chat"], base_url=local.base_url, user="ann")
    response = index.as_query_engine(llm=llm, similarity_top_k=1, response_mode="compact").query(
        "How many moons has Saturn?"
    )
    assert [node.node.ref_doc_id for node in response.source_nodes] == ["saturn"]
    assert str(response)
    engine = index.as_chat_engine(llm=llm, similarity_top_k=1, system_prompt="Be short.")
    answer = engine.chat("How many moons has Saturn?")
    assert [node.node.ref_doc_id for node in answer.source_nodes] == ["saturn"]
    with pytest.raises(TypeError, match="takes no top_k"):
        index.as_retriever(top_k=3)


async def test_files_async(make: MakeIndex, tmp_path: Path) -> None:
    file = tmp_path / "moons.md"
    file.write_text("Saturn has 146 moons.")
    index = make()
    assert await index.ainsert_file(file, id_="moons") == "moons"
    [found] = await index.as_retriever().aretrieve("Saturn")
    assert (found.node.ref_doc_id, found.metadata["file_path"]) == ("moons", str(file))


def test_files(make: MakeIndex, tmp_path: Path) -> None:
    file = tmp_path / "moons.md"
    file.write_text("Saturn has 146 moons.")
    index = make()
    id_ = index.insert_file(file, metadata={"planet": "Saturn"})
    assert id_ == str(file)
    assert texts(index) == ["Saturn has 146 moons."]
    assert index.ref_doc_info[id_].metadata == {"planet": "Saturn"}
    file.write_text("Saturn has 274 moons.")
    index.insert_file(file, metadata={"planet": "Saturn"})
    assert texts(index) == ["Saturn has 274 moons."]
    index.delete_ref_doc(id_)
    assert texts(index) == []


def test_persisted_nodes_are_deleted_by_their_own_ids(make: MakeIndex, tmp_path: Path) -> None:
    index = make()
    index.insert_nodes([TextNode(id_="titan", text="Titan is a moon.")])
    index.storage_context.persist(str(tmp_path))
    again = make(storage_context=StorageContext.from_defaults(persist_dir=str(tmp_path)))
    again.delete_nodes(["titan"], delete_from_docstore=True)
    assert texts(again, "Titan") == []


def test_first_mistakes(local: LocalDify) -> None:
    with pytest.raises(ValueError, match="dataset_id of a knowledge base, or the name"):
        DifyIndex(api_key=local.dataset_key)
    with pytest.raises(TypeError, match="unexpected argument: embed_model"):
        DifyIndex(name="x", api_key=local.dataset_key, embed_model="default")
