"""What the operations of knowledge bases send, and what they refuse to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dify_api import DifyClient, documents, errors, knowledge, metadata, pipelines, segments, tags
from dify_api.endpoints.documents import ProcessRule, ProcessRules, Segmentation
from dify_api.operation import Operation
from tests.dify_api.operations.serving import (
    ID,
    form_of,
    json_reply,
    query_of,
    receive,
    request_of,
    send,
    stream_reply,
)
from tests.support.cassettes import Exchange, exchange
from tests.support.replay import Received, ReplayServer

RECORDED = "dify-1.16.1"


def recorded(name: str) -> Exchange:
    return exchange(f"{RECORDED}/{name}")


def id_in(name: str, place: int) -> str:
    return recorded(name).path.split("/")[place]


def sent(operation: Operation[Any]) -> Any:
    return request_of(operation).json


# Each body is one that a server took -----------------------------------------------------------


def test_a_knowledge_base_is_made() -> None:
    operation = knowledge.create("Default embed 162200", indexing_technique="high_quality")
    assert sent(operation) == recorded("ds_create_high_quality_default_model").request_json
    full = sent(
        knowledge.create(
            "Planets",
            description="of the sun",
            indexing_technique="high_quality",
            permission="all_team_members",
            embedding_model="text-embedding-3-small",
            embedding_model_provider="langgenius/openai/openai",
            retrieval_model={"top_k": 2},
            summary_index_setting={"enable": False},
        )
    )
    assert full["retrieval_model"] == {
        "search_method": "semantic_search",
        "top_k": 2,
        "reranking_enable": False,
        "score_threshold_enabled": False,
    }
    assert full["embedding_model_provider"] == "langgenius/openai/openai"
    assert full["summary_index_setting"] == {"enable": False}
    external = knowledge.create(
        "Elsewhere", provider="external", external_knowledge_api_id=ID, external_knowledge_id="k1"
    )
    assert sent(external)["external_knowledge_api_id"] == ID


def test_a_knowledge_base_is_changed() -> None:
    operation = knowledge.update(ID, permission="partial_members", partial_member_list=[ID])
    assert sent(operation) == {
        "permission": "partial_members",
        "partial_member_list": [{"user_id": ID}],
    }
    assert sent(knowledge.update(ID, description=""))["description"] == ""
    external = knowledge.update(ID, external_retrieval_model={"top_k": 2})
    assert sent(external) == {"external_retrieval_model": {"top_k": 2}}


def test_a_text_becomes_a_document() -> None:
    given = recorded("doc_create_text_automatic_hq").request_json
    operation = documents.create_by_text(
        ID, given["name"], given["text"], indexing_technique="high_quality"
    )
    assert sent(operation) == given  # split automatically, unless told otherwise


@pytest.mark.parametrize("form", ["model", "mapping"])
def test_a_text_is_split_by_rules(form: str) -> None:
    given = recorded("doc_create_text_custom_rules").request_json
    rule: Any = given["process_rule"]
    if form == "model":
        rule = ProcessRule.model_validate(rule)
    operation = documents.create_by_text(
        ID, given["name"], given["text"], indexing_technique="economy", process_rule=rule
    )
    assert sent(operation) == given


def test_a_rule_is_completed() -> None:
    def rule_of(**rules: Any) -> Any:
        operation = documents.create_by_text(
            ID,
            "moons",
            "x",
            indexing_technique="high_quality",
            process_rule=ProcessRule(rules=ProcessRules(**rules)),
        )
        return sent(operation)["process_rule"], sent(operation).get("doc_form")

    cut = {"separator": "\n", "max_tokens": 500}
    assert rule_of(segmentation=Segmentation(max_tokens=80, chunk_overlap=5)) == (
        {
            "mode": "custom",
            "rules": {
                "pre_processing_rules": [],
                "segmentation": {"separator": "\n", "max_tokens": 80, "chunk_overlap": 5},
            },
        },
        None,
    )
    assert rule_of(parent_mode="full-doc") == (
        {
            "mode": "hierarchical",
            "rules": {
                "pre_processing_rules": [],
                "segmentation": cut,
                "parent_mode": "full-doc",
                "subchunk_segmentation": cut,
            },
        },
        "hierarchical_model",
    )


def test_a_rule_that_was_given_stays_as_it_was() -> None:
    rule = ProcessRule(rules=ProcessRules(segmentation=Segmentation()))
    documents.create_by_text(ID, "a", "b", indexing_technique="economy", process_rule=rule)
    assert rule == ProcessRule(rules=ProcessRules(segmentation=Segmentation()))


def test_a_file_becomes_a_document(tmp_path: Path) -> None:
    file = tmp_path / "notes été.txt"
    file.write_text("Line one.")
    form = form_of(request_of(documents.create_by_file(ID, file, indexing_technique="economy")))
    assert list(form) == ["data", "file"]
    assert json.loads(form["data"].get_content()) == {
        "indexing_technique": "economy",
        "process_rule": {"mode": "automatic"},
    }
    assert form["file"].get_filename() == "notes été.txt"
    assert form["file"].get_payload(decode=True) == b"Line one."


def test_a_document_is_replaced() -> None:
    given = recorded("doc_update_text").request_json
    operation = documents.update_by_text(
        ID, ID, name=given["name"], text=given["text"], process_rule={"mode": "automatic"}
    )
    assert sent(operation) == given
    for function, method in ((documents.update, "PATCH"), (documents.update_by_file, "POST")):
        request = request_of(function(ID, ID, b"two", name="guide.md"))
        assert request.method == method
        assert form_of(request)["file"].get_filename() == "guide.md"
    anew = documents.update_by_file(ID, ID, process_rule={"mode": "automatic"})
    body = request_of(anew).body
    assert b"process_rule" in body
    assert b"filename" not in body


def test_documents_are_listed_and_switched() -> None:
    listed = documents.list_documents(ID, keyword="moon", status="available", page=2, limit=5)
    assert query_of(request_of(listed)) == {
        "keyword": ["moon"],
        "status": ["available"],
        "page": ["2"],
        "limit": ["5"],
    }
    switched = request_of(documents.update_status(ID, "un_archive", [ID]))
    assert (switched.method, switched.path.split("/")[-1]) == ("PATCH", "un_archive")
    assert switched.json == {"document_ids": [ID]}


def test_segments_are_added_and_changed() -> None:
    given = recorded("seg_create").request_json["segments"]
    added: list[Any] = [
        segments.NewSegment(content=given[0]["content"], keywords=given[0]["keywords"]),
        given[1]["content"],
    ]
    assert sent(segments.create(ID, ID, added)) == {
        "segments": [{k: v for k, v in segment.items() if v is not None} for segment in given]
    }
    given = recorded("seg_update_regenerate_children").request_json
    operation = segments.update(ID, ID, ID, **given["segment"])
    assert sent(operation) == given
    assert sent(segments.update(ID, ID, ID, enabled=False, keywords=[])) == {
        "segment": {"enabled": False, "keywords": []}
    }
    states = segments.list_segments(ID, ID, status=["completed", "error"])
    assert query_of(request_of(states)) == {"status": ["completed", "error"]}
    assert query_of(request_of(segments.list_segments(ID, ID, status="error"))) == {
        "status": ["error"]
    }


def test_metadata_are_set() -> None:
    given = recorded("doc_metadata_two_documents").request_json
    operation = metadata.update_documents(ID, given["operation_data"])
    assert sent(operation) == given
    typed = metadata.DocumentMetadataOperation(
        document_id=ID, metadata_list=[metadata.MetadataDetail(id=ID, name="year", value=None)]
    )
    (entry,) = sent(metadata.update_documents(ID, [typed]))["operation_data"]
    assert entry["metadata_list"] == [{"id": ID, "name": "year", "value": None}]
    assert entry["partial_update"] is False


def test_tags_are_bound_and_unbound() -> None:
    bound = recorded("tag_bind").request_json
    assert sent(tags.bind(bound["target_id"], bound["tag_ids"])) == bound
    for name in ("tag_unbind", "tag_unbind_list"):  # one tag, as older servers want it
        given = recorded(name).request_json
        ids = given.get("tag_ids") or [given["tag_id"]]
        body = sent(tags.unbind(given["target_id"], ids))
        assert body == {"tag_id": ids[0], "target_id": given["target_id"]}
    assert sent(tags.unbind(ID, [ID, ID])) == {"tag_ids": [ID, ID], "target_id": ID}
    deleted = request_of(tags.delete(ID))
    assert (deleted.method, deleted.json) == ("DELETE", {"tag_id": ID})


def test_a_pipeline_is_run_with_an_uploaded_file() -> None:
    uploaded = receive(
        pipelines.upload(b"Pipeline text", name="pipe été.txt"),
        recorded("pipe_file_upload").json,
        201,
    )
    given = recorded("pipe_run_published_blocking").request_json
    operation = pipelines.run(
        ID, [uploaded], datasource_type="local_file", start_node_id="file", inputs=given["inputs"]
    )
    assert sent(operation) == given
    page = pipelines.OnlineDocument(
        workspace_id="w", page=pipelines.DocumentPage(page_id="p", type="page")
    )
    body = sent(pipelines.run(ID, [page], datasource_type="online_document", start_node_id="n"))
    assert body["datasource_info_list"] == [
        {"workspace_id": "w", "page": {"page_id": "p", "type": "page"}}
    ]


# What comes back -------------------------------------------------------------------------------


def test_one_segment_comes_without_its_envelope() -> None:
    segment = receive(segments.get(ID, ID, ID), recorded("seg_get").json)
    assert segment.content == "Saturn's rings are mostly water ice."
    assert segment.doc_form == "text_model"
    assert segment.keywords == ["saturn", "ice"]
    chunk = receive(segments.update_child_chunk(ID, ID, ID, ID, "x"), recorded("child_update").json)
    assert (chunk.content, chunk.type) == ("Mars has very thin air.", "customized")


def test_a_document_with_its_metadata_and_rules() -> None:
    document = receive(documents.get(ID, ID), recorded("doc_get_all_filled").json)
    values = {field.name: field.value for field in document.doc_metadata}
    assert (values["topic"], values["year"], values["seen"]) == ("saturn rings", 1610, 1700000000)
    rule = document.document_process_rule
    assert rule is not None
    assert rule.mode == "automatic"
    assert rule.rules is not None
    assert rule.rules.segmentation is not None
    assert rule.rules.segmentation.separator == "\n"  # "delimiter", as servers store it


def test_tags_count_their_knowledge_bases() -> None:
    tag = receive(tags.create("science"), recorded("tag_create").json)
    assert (tag.name, tag.binding_count) == ("science 162655", 0)
    assert receive(tags.list_tags(), [recorded("tag_create").json]) == [tag]


def test_a_published_pipeline_says_what_it_makes() -> None:
    operation = pipelines.run(
        ID, [{"reference": ID}], datasource_type="local_file", start_node_id="file"
    )
    run = receive(operation, recorded("pipe_run_published_blocking").json)
    assert run.batch == "20261123164709835412"
    assert [document.name for document in run.documents] == ["pipe été.txt"]


def test_a_draft_of_a_pipeline_streams() -> None:
    operation = pipelines.run_draft(
        ID, [{"reference": ID}], datasource_type="local_file", start_node_id="file"
    )
    answer = send(operation, recorded("pipe_run_draft_streaming").reply())
    assert answer.workflow is not None
    assert (answer.workflow.status, answer.finish_reason) == ("succeeded", "stop")
    with pytest.raises(errors.WorkflowFailedError, match="Chunks is not a list"):
        send(operation, recorded("pipe_run_draft_failed_blocking").reply())


NODE_RUN = pipelines.run_datasource_node(ID, "crawl", datasource_type="website_crawl")
PROCESSING = {"event": "datasource_processing", "total": 2, "completed": 1}


def completed(*pages: Any) -> dict[str, Any]:
    return {"event": "datasource_completed", "data": list(pages), "time_consuming": 0.5}


def test_a_datasource_tells_what_it_found() -> None:
    frames = [PROCESSING, completed("a"), completed("b", "c")]
    with ReplayServer(lambda _: stream_reply(*frames)) as server:
        with DifyClient("dataset-test", base_url=server.base_url).stream(NODE_RUN) as stream:
            seen = [event.event for event in stream]
    assert seen == [frame["event"] for frame in frames]
    assert stream.answer.outputs == {"data": ["a", "b", "c"]}
    assert stream.answer.finish_reason == "stop"
    workspace = {"event": "datasource_completed", "data": {"workspace_id": "w"}}
    assert send(NODE_RUN, stream_reply(workspace)).outputs == {"data": [{"workspace_id": "w"}]}


def test_a_datasource_that_fails() -> None:
    for name in ("pipe_node_run_local_file", "pipe_node_run_online_document"):
        with pytest.raises(errors.WorkflowFailedError, match=r"Unsupported|success"):
            send(NODE_RUN, recorded(name).reply())
    failing = stream_reply(completed("a"), {"event": "datasource_error", "error": "site is down"})
    with pytest.raises(errors.WorkflowFailedError, match="site is down") as raised:
        send(NODE_RUN, failing)
    assert raised.value.answer is not None
    assert raised.value.answer.outputs == {"data": ["a"]}


def test_a_datasource_whose_stream_breaks_has_not_told_all() -> None:
    broken = stream_reply(completed("a"))
    broken.ending = "cut"
    with pytest.raises(errors.StreamInterruptedError) as raised:
        send(NODE_RUN, broken)
    assert raised.value.answer is not None
    assert raised.value.answer.outputs == {"data": ["a"]}


# What is refused -------------------------------------------------------------------------------


def test_what_servers_would_take_and_nobody_could_use() -> None:
    text: dict[str, Any] = {"indexing_technique": "economy"}
    refused: list[tuple[str, Any]] = [
        ("name must not be empty", lambda: knowledge.create(" ")),
        ("at most 40 characters, not 41", lambda: knowledge.create("n" * 41)),
        ("at most 400 characters", lambda: knowledge.create("n", description="d" * 401)),
        ("embedding_model_provider", lambda: knowledge.create("n", embedding_model="m")),
        ("external_knowledge_api_id", lambda: knowledge.create("n", provider="external")),
        ("nothing of the knowledge base is changed", lambda: knowledge.update(ID)),
        ("at least one id", lambda: knowledge.update(ID, partial_member_list=[])),
        ("limit must be between 1 and 100", lambda: knowledge.datasets(limit=101)),
        ("page must be 1 or more", lambda: documents.list_documents(ID, page=0)),
        (
            "indexing_technique must not be empty",
            lambda: documents.create_by_text(ID, "n", "t", indexing_technique=None),  # type: ignore[arg-type]  # the test
        ),
        ("text must not be empty", lambda: documents.create_by_text(ID, "n", " ", **text)),
        ("name must not be empty", lambda: documents.create_by_text(ID, "", "t", **text)),
        (
            "needs rules",
            lambda: documents.create_by_text(ID, "n", "t", process_rule={"mode": "custom"}, **text),
        ),
        (
            "max_tokens must be 50 or more, not 10",
            lambda: documents.create_by_text(
                ID,
                "n",
                "t",
                process_rule={"rules": {"segmentation": {"max_tokens": 10}}},
                **text,
            ),
        ),
        ("name must have an extension", lambda: documents.create_by_file(ID, b"", name="README")),
        ("nothing of the document", lambda: documents.update_by_text(ID, ID, name="n")),
        ("name must not be empty", lambda: documents.update_by_text(ID, ID, text="t")),
        ("nothing of the document", lambda: documents.update_by_file(ID, ID)),
        ("action must be", lambda: documents.update_status(ID, "destroy", [ID])),  # type: ignore[arg-type]  # the test
        ("at least one id", lambda: documents.update_status(ID, "enable", [])),
        ("each of document_ids", lambda: documents.download_zip(ID, ["abc"])),
        ("must be a list", lambda: documents.download_zip(ID, ID)),
        ("at most 100", lambda: documents.download_zip(ID, [ID] * 101)),
        ("at least one segment", lambda: segments.create(ID, ID, [])),
        ("must be a list", lambda: segments.create(ID, ID, "text")),
        ("content must not be empty", lambda: segments.create(ID, ID, [""])),
        ("content\n  Field required", lambda: segments.create(ID, ID, [{"answer": "x"}])),
        ("nothing of the segment", lambda: segments.update(ID, ID, ID)),
        ("delete the segment instead", lambda: segments.update(ID, ID, ID, content="")),
        ("content must not be empty", lambda: segments.create_child_chunk(ID, ID, ID, "")),
        ("name must not be empty", lambda: metadata.create_field(ID, "", "string")),
        ("at most 255", lambda: metadata.update_field(ID, ID, "n" * 256)),
        ("action must be", lambda: metadata.update_built_in_fields(ID, "on")),  # type: ignore[arg-type]  # the test
        ("at least one document", lambda: metadata.update_documents(ID, [])),
        ("at most 50", lambda: tags.create("t" * 51)),
        ("at least one id", lambda: tags.bind(ID, [])),
        (
            "at least one document",
            lambda: pipelines.run(ID, [], datasource_type="local_file", start_node_id="n"),
        ),
    ]
    for message, call in refused:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_setting_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="proces_rule"):
        documents.create_by_file(ID, b"", name="a.txt", proces_rule={})  # type: ignore[call-arg]  # the test


# Releases --------------------------------------------------------------------------------------

UNKNOWN = recorded("doc_upload_file_info").reply()
"""The page that a server sends for a path it does not know."""


def paths_of(operation: Operation[Any], *refusals: Any) -> list[str]:
    requests: list[Received] = []
    send(operation, *refusals, json_reply({}), requests=requests)
    return [
        f"{request.method} {request.path.removeprefix('/v1/datasets/')}" for request in requests
    ]


def test_older_servers_write_paths_otherwise() -> None:
    text = documents.create_by_text(ID, "n", "t", indexing_technique="economy")
    assert paths_of(text, UNKNOWN) == [
        f"POST {ID}/document/create-by-text",
        f"POST {ID}/document/create_by_text",
    ]
    file = documents.create_by_file(ID, b"x", name="a.txt")
    assert paths_of(file, UNKNOWN)[1] == f"POST {ID}/document/create_by_file"
    renewed = documents.update_by_text(ID, ID, name="n", text="t")
    assert paths_of(renewed, UNKNOWN)[1] == f"POST {ID}/documents/{ID}/update_by_text"
    assert (
        paths_of(documents.download(ID, ID), UNKNOWN)[1] == f"GET {ID}/documents/{ID}/upload-file"
    )
    assert paths_of(metadata.built_in_fields(ID), UNKNOWN)[1] == "GET metadata/built-in"


def test_an_update_by_patch_is_tried_by_post() -> None:
    refused = json_reply({"code": "method_not_allowed", "message": "", "status": 405}, 405)
    operation = documents.update(ID, ID, b"x", name="a.txt")
    assert paths_of(operation, refused, UNKNOWN) == [
        f"PATCH {ID}/documents/{ID}",
        f"POST {ID}/documents/{ID}/update-by-file",
        f"POST {ID}/documents/{ID}/update_by_file",
    ]


def test_what_dify_does_not_find_is_not_asked_for_again() -> None:
    operation = documents.create_by_text(ID, "n", "t", indexing_technique="economy")
    requests: list[Received] = []
    with pytest.raises(errors.NotFoundError, match="Dataset not found"):
        send(
            operation,
            json_reply({"code": "not_found", "message": "Dataset not found.", "status": 404}, 404),
            requests=requests,
        )
    assert len(requests) == 1


def test_a_sentence_is_no_code() -> None:
    operation = segments.create(ID, ID, ["x"])
    with pytest.raises(errors.BadRequestError, match="List should have at least 1 item") as raised:
        send(operation, recorded("seg_create_empty_list").reply())
    assert raised.value.code == "bad_request"
