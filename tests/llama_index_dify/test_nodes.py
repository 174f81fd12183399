"""Citations and search results as nodes."""

from __future__ import annotations

from llama_index.core.schema import MetadataMode, NodeRelationship, ObjectType, TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from dify_api.endpoints.knowledge import RetrieveResult
from dify_api.models import RetrieverResource, decode
from llama_index_dify.nodes import nodes_from_resources
from tests.support.cassettes import exchange

_SATURN = RetrieverResource(
    position=1,
    dataset_id="d1",
    dataset_name="Planets",
    document_id="doc1",
    document_name="saturn.md",
    data_source_type="upload_file",
    segment_id="s1",
    score=0.81,
    content="Saturn has 274 moons.",
    page=3,
    doc_metadata={"language": "en", "tags": ["planet", "rings"], "author": None},
)


def test_a_citation_becomes_a_node_of_its_segment() -> None:
    [found] = nodes_from_resources([_SATURN])
    assert (found.node_id, found.score, found.text) == ("s1", 0.81, "Saturn has 274 moons.")
    source = found.node.relationships[NodeRelationship.SOURCE]
    assert (source.node_id, source.node_type) == ("doc1", ObjectType.DOCUMENT)
    assert found.node.ref_doc_id == "doc1"


def test_metadata_are_flat_and_take_in_those_of_the_document() -> None:
    [found] = nodes_from_resources([_SATURN])
    assert found.metadata == {
        "language": "en",
        "tags": '["planet", "rings"]',
        "dataset_id": "d1",
        "dataset_name": "Planets",
        "document_id": "doc1",
        "document_name": "saturn.md",
        "title": "saturn.md",
        "data_source_type": "upload_file",
        "segment_id": "s1",
        "page": 3,
    }
    # What vector stores ask for before they take a node:
    assert node_to_metadata_dict(found.node, flat_metadata=True)["ref_doc_id"] == "doc1"


def test_models_read_names_but_neither_ids_nor_score() -> None:
    [found] = nodes_from_resources([_SATURN])
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        text = found.node.get_content(metadata_mode=mode)
        assert text.count("saturn.md") == 1
        assert "document_name: saturn.md" in text
        assert "language: en" in text
        assert "page: 3" in text
        for hidden in ("s1", "doc1", "d1", "0.81", "position", "upload_file"):
            assert hidden not in text


def test_a_title_of_its_own_is_read_beside_the_document_name() -> None:
    [found] = nodes_from_resources([_SATURN.model_copy(update={"title": "The Rings"})])
    text = found.node.get_content(metadata_mode=MetadataMode.LLM)
    assert "title: The Rings" in text
    assert "document_name: saturn.md" in text


def test_keyword_search_has_no_score() -> None:
    [found] = nodes_from_resources([RetrieverResource(segment_id="s1", content="x")])
    assert found.score is None


def test_a_passage_is_the_same_node_in_every_search() -> None:
    """LlamaIndex fuses searches by a hash of text and metadata."""
    again = _SATURN.model_copy(update={"score": None, "position": 5, "hit_count": 77})
    first, second = nodes_from_resources([_SATURN, again])
    assert (first.score, second.score) == (0.81, None)
    assert first.node.hash == second.node.hash


def test_passages_without_segment_have_stable_ids_of_their_own() -> None:
    """External knowledge bases name no segment."""
    passages = [
        RetrieverResource(dataset_id="d1", document_name="a", content="one"),
        RetrieverResource(dataset_id="d1", document_name="a", content="two"),
        RetrieverResource(dataset_id="d1", document_name="b", content="one"),
    ]
    first = [found.node_id for found in nodes_from_resources(passages)]
    again = [found.node_id for found in nodes_from_resources(passages)]
    assert first == again
    assert len(set(first)) == 3
    assert nodes_from_resources(passages)[0].node.relationships == {}


def test_nodes_survive_json() -> None:
    [found] = nodes_from_resources([_SATURN])
    assert TextNode.from_json(found.node.to_json()) == found.node


def test_every_recorded_search_gives_its_segments_in_order() -> None:
    for name in (
        "dify-0.15.3/ds_retrieve_semantic_search",
        "dify-0.15.3/ds_retrieve_economy",
        "dify-1.12.1/dataset_retrieve_model",
        "dify-1.14.2/dataset_retrieve_model",
        "dify-1.16.0/s_retrieve",
    ):
        body = exchange(name).json
        result = decode(RetrieveResult, body)
        found = nodes_from_resources(result.resources("d1", "Planets"))
        assert found, name
        segments = [record["segment"] for record in body["records"]]
        assert [n.node_id for n in found] == [segment["id"] for segment in segments]
        assert [n.text for n in found] == [segment["content"] for segment in segments]
        assert [n.score for n in found] == [record["score"] for record in body["records"]]
        assert [n.node.ref_doc_id for n in found] == [
            segment["document_id"] for segment in segments
        ]
        assert {n.metadata["dataset_name"] for n in found} == {"Planets"}


def test_a_question_and_answer_passage_reads_as_citations_show_it() -> None:
    record = {"segment": {"id": "s1", "content": "How many moons?", "answer": "274."}}
    result = decode(RetrieveResult, {"query": "moons", "records": [record]})
    [found] = nodes_from_resources(result.resources())
    assert found.text == "question:How many moons? \nanswer:274."
