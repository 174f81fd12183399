"""What operations send: bodies, queries, forms, and what they refuse to send."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from dify_api import (
    AsyncDifyClient,
    annotations,
    application,
    audio,
    chat,
    conversations,
    feedback,
    files,
    human_input,
    knowledge,
    messages,
    workflows,
)
from dify_api.endpoints.files import UploadedFile
from dify_api.endpoints.knowledge import RetrievalModel
from tests.dify_api.operations.introspection import ids_of, operation_functions, sample
from tests.dify_api.operations.serving import (
    ID,
    form_of,
    json_reply,
    query_of,
    receive,
    request_of,
)
from tests.support.cassettes import exchange
from tests.support.replay import Received, ReplayServer


def test_what_is_not_given_is_not_sent() -> None:
    assert query_of(request_of(messages.list_messages("c", user="ann"))) == {
        "conversation_id": ["c"],
        "user": ["ann"],
    }
    assert request_of(feedback.create(ID, "like", user="ann")).json == {
        "rating": "like",
        "user": "ann",
    }


def test_a_rating_is_withdrawn_by_null() -> None:
    body = request_of(feedback.create(ID, None, user="ann", content="")).json
    assert body == {"rating": None, "user": "ann", "content": ""}


def test_booleans_of_a_query_are_true_and_false() -> None:
    request = request_of(files.preview(ID, user="ann", as_attachment=True), {"a": 1})
    assert query_of(request) == {"as_attachment": ["true"], "user": ["ann"]}
    request = request_of(files.preview(ID, user="ann"), {"a": 1})
    assert query_of(request)["as_attachment"] == ["false"]
    operation = workflows.events(ID, user="ann", include_state_snapshot=True)
    assert query_of(request_of(operation, {"data": {"status": "succeeded"}})) == {
        "user": ["ann"],
        "include_state_snapshot": ["true"],
    }


def test_lists_of_a_query_are_repeated() -> None:
    request = request_of(knowledge.datasets(tag_ids=["a", "b"], include_all=True, page=2))
    assert query_of(request) == {"tag_ids": ["a", "b"], "include_all": ["true"], "page": ["2"]}


def test_moments_of_a_query_are_iso() -> None:
    moment = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
    query = query_of(request_of(workflows.logs(created_at_after=moment, status="failed", limit=5)))
    assert query == {
        "created_at__after": ["2026-11-21T12:00:00+00:00"],
        "status": ["failed"],
        "limit": ["5"],
    }


def test_a_deletion_has_a_json_body() -> None:
    request = request_of(conversations.delete(ID, user="ann"))
    assert (request.method, request.path) == ("DELETE", f"/v1/conversations/{ID}")
    assert request.headers["content-type"] == "application/json"
    assert request.json == {"user": "ann"}


def test_bodies_of_conversations() -> None:
    assert request_of(conversations.rename(ID, "Moons", user="ann")).json == {
        "name": "Moons",
        "auto_generate": False,
        "user": "ann",
    }
    assert request_of(conversations.rename(ID, user="ann", auto_generate=True)).json == {
        "auto_generate": True,
        "user": "ann",
    }
    for value in (["a"], {"k": 1}, 2, None):
        body = request_of(conversations.update_variable(ID, ID, value, user="ann")).json
        assert body == {"value": value, "user": "ann"}


def test_body_of_a_form() -> None:
    operation = human_input.submit("token/1", {"comment": "x"}, action="approve", user="ann")
    request = request_of(operation)
    assert request.path == "/v1/form/human_input/token%2F1"
    assert request.json == {"inputs": {"comment": "x"}, "action": "approve", "user": "ann"}


def test_body_of_annotation_replies() -> None:
    settings: dict[str, Any] = {
        "score_threshold": 0.9,
        "embedding_provider_name": "openai",
        "embedding_model_name": "text-embedding-3-small",
    }
    for operation in (annotations.enable_reply(**settings), annotations.disable_reply(**settings)):
        assert request_of(operation).json == settings


# Files ---------------------------------------------------------------------------------------


def open_file(folder: Path) -> Any:
    return path_to(folder).open("rb")


def path_to(folder: Path) -> Path:
    path = folder / "saturn été.png"
    path.write_bytes(b"\x89PNG rings")
    return path


SOURCES: list[Callable[[Path], Any]] = [path_to, lambda f: str(path_to(f)), open_file]


@pytest.mark.parametrize("source", SOURCES, ids=["Path", "str", "file"])
async def test_upload_from_a_path_or_an_open_file(
    source: Callable[[Path], Any], tmp_path: Path
) -> None:
    def check(request: Received) -> None:
        form = form_of(request)
        assert form["user"].get_content().strip() == "ann"
        assert form["file"].get_filename() == "saturn été.png"
        assert form["file"].get_content_type() == "image/png"
        assert form["file"].get_payload(decode=True) == b"\x89PNG rings"
        assert list(form) == ["user", "file"]

    file = source(tmp_path)
    check(request_of(files.upload(file, user="ann"), {"id": ID}))
    with ReplayServer(lambda _: json_reply({"id": ID}, 201)) as server:
        client = AsyncDifyClient("app-test", base_url=server.base_url)
        assert (await client.send(files.upload(file, user="ann"))).id == ID
        check(server.requests[0])
    if isinstance(file, io.IOBase):
        assert not file.closed
        file.close()


def test_upload_of_bytes() -> None:
    def part(**given: Any) -> tuple[str | None, str]:
        form = form_of(request_of(files.upload(b"x", user="ann", **given), {"id": ID}))
        return form["file"].get_filename(), form["file"].get_content_type()

    assert part(name="a.pdf") == ("a.pdf", "application/pdf")
    assert part(mime_type="image/png") == ("file.png", "image/png")
    assert part() == ("file", "application/octet-stream")
    unnamed = files.upload(io.BytesIO(b"x"), user="ann").file
    assert unnamed is not None
    assert (unnamed.name, unnamed.mime_type) == ("file", "application/octet-stream")


def test_a_path_that_is_not_there_is_no_failure_of_the_connection(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        request_of(files.upload(tmp_path / "none.png", user="ann"))


def test_references_to_files() -> None:
    local = {"transfer_method": "local_file", "upload_file_id": "f"}
    uploaded = UploadedFile(id="f", name="a.PDF", mime_type="application/pdf")
    assert files.reference(uploaded) == {"type": "document", **local}
    assert files.reference(uploaded, "custom") == {"type": "custom", **local}
    assert files.reference("f", "image") == {"type": "image", **local}
    assert files.reference(UploadedFile(id="f", extension="mp3"))["type"] == "audio"
    assert files.reference(UploadedFile(id="f", name="x", mime_type="video/x"))["type"] == "video"
    assert files.reference(UploadedFile(id="f", name="x.bin"))["type"] == "custom"
    url = "https://example.com/a.png?size=1"
    remote = {"type": "image", "transfer_method": "remote_url", "url": url}
    assert files.reference(url) == remote
    assert files.reference(url, "document")["type"] == "document"
    with pytest.raises(ValueError, match="file_type must be given"):
        files.reference("f")


def test_speech_goes_as_a_form() -> None:
    form = form_of(request_of(audio.to_text(b"RIFF", user="ann", name="a.wav")))
    assert form["file"].get_content_type() == "audio/wav"
    assert form["user"].get_content().strip() == "ann"


# Knowledge -----------------------------------------------------------------------------------


def retrieval_model(given: Any) -> Any:
    operation = knowledge.retrieve(ID, "moons", retrieval_model=given)
    return request_of(operation).json.get("retrieval_model")


def test_an_incomplete_retrieval_model_is_completed() -> None:
    switches = {"reranking_enable": False, "score_threshold_enabled": False}
    default = {"search_method": "semantic_search", "top_k": 4, **switches}
    assert retrieval_model(None) is None
    assert retrieval_model({}) == default
    assert retrieval_model(RetrievalModel(top_k=2)) == {**default, "top_k": 2}
    assert retrieval_model({"score_threshold": 0.5}) == {
        **default,
        "score_threshold": 0.5,
        "score_threshold_enabled": True,
    }
    assert retrieval_model({"score_threshold": 0.5, "score_threshold_enabled": False}) == {
        **default,
        "score_threshold": 0.5,
    }


def test_every_field_of_a_retrieval_model_is_sent() -> None:
    full = {
        "search_method": "hybrid_search",
        "top_k": 3,
        "score_threshold": 0.5,
        "score_threshold_enabled": True,
        "reranking_enable": True,
        "reranking_mode": "weighted_score",
        "reranking_model": {
            "reranking_provider_name": "cohere",
            "reranking_model_name": "rerank-v3",
        },
        "weights": {"vector_setting": {"vector_weight": 0.7}},
        "metadata_filtering_conditions": {
            "logical_operator": "or",
            "conditions": [
                {"name": "year", "comparison_operator": "≥", "value": 2020},
                {"name": "author", "comparison_operator": "in", "value": ["ann", "bob"]},
                {"name": "tag", "comparison_operator": "empty"},
            ],
        },
        "of_tomorrow": 1,
    }
    assert retrieval_model(full) == full


def test_what_a_retrieval_model_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="search_method"):
        knowledge.retrieve(ID, "moons", retrieval_model={"search_method": "guess"})


def test_a_search_by_attachment_needs_no_query() -> None:
    body = request_of(knowledge.retrieve(ID, "", attachment_ids=[ID])).json
    assert body == {"query": "", "attachment_ids": [ID]}
    with pytest.raises(ValueError, match="query must not be empty"):
        knowledge.retrieve(ID, "")


def test_the_models_of_a_workspace() -> None:
    listed = exchange("dify-1.16.0/dataset_models").json
    providers = receive(knowledge.models("llm"), listed).data
    assert [(p.provider, [m.model for m in p.models]) for p in providers] == [
        ("langgenius/openai/openai", ["gpt-4o-mini", "gpt-plain"])
    ]
    assert request_of(knowledge.models("rerank")).path.endswith("/model-types/rerank")


# What is refused -----------------------------------------------------------------------------


NO_UUIDS = {"task_id", "conversation_id", "node_id", "start_node_id"}


def test_an_id_that_is_no_uuid_is_refused_before_the_request() -> None:
    checked = set()
    for function in operation_functions():
        for name in ids_of(function):
            if name.endswith("_id") and name not in NO_UUIDS:
                checked.add(name)
                with pytest.raises(ValueError, match=f"{name} must be a UUID"):
                    sample(function, **{name: "abc"})
    assert len(checked) >= 14
    with pytest.raises(ValueError, match="conversation_id must be a UUID"):
        conversations.delete("abc", user="ann")


def test_ids_never_lead_to_another_endpoint() -> None:
    assert chat.stop("../../info", user="ann").path == "/chat-messages/..%2F..%2Finfo/stop"
    with pytest.raises(ValueError, match="needs one"):
        chat.stop("", user="ann")
    for name in (".", ".."):
        with pytest.raises(ValueError, match="another endpoint"):
            chat.stop(name, user="ann")
    with pytest.raises(ValueError, match="went out by e-mail"):
        human_input.form("")


def test_operations_are_values() -> None:
    assert application.info() == application.info()
    assert chat.stop("t", user="ann") != chat.stop("t", user="bob")
    with pytest.raises(AttributeError):
        application.info().path = "/parameters"  # type: ignore[misc]  # frozen: that is the test
