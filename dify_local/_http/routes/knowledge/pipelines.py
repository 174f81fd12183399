"""Knowledge pipelines: their sources, their files, and runs of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timezone

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.event_stream import EventStream
from dify_local._http.responses import json_response
from dify_local._http.routes.knowledge.calls import KnowledgeCall, knowledge_call
from dify_local._http.routes.knowledge.payloads import (
    DatasourceNodeRunPayload,
    DatasourcePluginsQuery,
    PipelineRunApiEntity,
)
from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._protocol.values import JsonObject
from dify_local._runs.pipeline import PipelineRun
from dify_local._storage.knowledge import splitting
from dify_local._storage.knowledge.file_text import UnreadableFileError
from dify_local._storage.knowledge.ready_made import PIPELINE_INPUTS, PIPELINE_NODE_ID
from dify_local._storage.knowledge.records import Dataset, Document

_DATASOURCES = ("local_file", "online_document", "website_crawl", "online_drive")
_PLUGIN: JsonObject = {
    "node_id": PIPELINE_NODE_ID,
    "plugin_id": "langgenius/file",
    "provider_name": "file",
    "datasource_type": "local_file",
    "title": "File",
    "user_input_variables": [],
    "credentials": [],
}


async def upload(request: Request) -> Response:
    """`POST /datasets/pipeline/file-upload`."""
    call = knowledge_call(request)
    file = (await call.form()).one_file()
    if not file.content_type:
        raise invalid_param("")
    kept = call.service.writer.keep_file(file.filename, file.content_type, file.content)
    created_at = datetime.fromtimestamp(kept["created_at"], timezone.utc).replace(tzinfo=None)
    return json_response({**kept, "created_at": created_at.isoformat()}, 201)


async def datasource_plugins(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/pipeline/datasource-plugins`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    call.query(DatasourcePluginsQuery)
    _require_pipeline(dataset)
    return json_response([_PLUGIN])


async def run_datasource_node(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/pipeline/datasource/nodes/{node_id}/run`.

    The only source here is a file, which needs no run: as with Dify, each ends with an error.
    """
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(DatasourceNodeRunPayload)
    _require_pipeline(dataset)
    if call.path("node_id") != PIPELINE_NODE_ID:
        return _stream([_datasource_error("Datasource node data not found")])
    if payload.datasource_type == "local_file":
        return _stream([_datasource_error("Unsupported datasource provider: local_file")])
    start: JsonObject = {"event": "datasource_processing", "total": 0, "completed": 0}
    failure = _datasource_error(f"There is no {payload.datasource_type} plugin")
    return _stream([start, failure])


async def run(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/pipeline/run`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(PipelineRunApiEntity)
    _require_pipeline(dataset)
    if payload.datasource_type not in _DATASOURCES:
        raise _run_error(f"Unsupported datasource type: {payload.datasource_type}")
    for name in PIPELINE_INPUTS:
        if name not in payload.inputs:
            raise _run_error(f"{name} is required in input form")
    if payload.is_published:
        return _run_published(call, dataset, payload)
    draft = _draft(call, dataset, payload)
    if payload.response_mode == "blocking":
        return json_response(draft.blocking(), generation=True)
    return _stream(draft.events())


def _run_published(
    call: KnowledgeCall, dataset: Dataset, payload: PipelineRunApiEntity
) -> Response:
    writer = call.service.writer
    documents = [
        writer.create_in_pipeline(dataset, info, payload.datasource_type)
        for info in payload.datasource_info_list
    ]
    for document in documents:
        document.batch = documents[0].batch
        call.tables.save_document(document)
        call.service.index(document)
    answer = {
        "batch": documents[0].batch if documents else "",
        "dataset": {
            "id": dataset.id,
            "name": dataset.name,
            "description": dataset.description,
            "chunk_structure": dataset.doc_form,
        },
        "documents": [_shown(document) for document in documents],
    }
    return json_response(answer, generation=True)


def _draft(call: KnowledgeCall, dataset: Dataset, payload: PipelineRunApiEntity) -> PipelineRun:
    info = payload.datasource_info_list[0] if payload.datasource_info_list else {}
    try:
        text = "\n\n".join(call.service.writer.pipeline_texts(info))
    except UnreadableFileError as error:
        raise _run_error(str(error)) from None
    rule = dataset.process_rule or {"mode": "automatic", "rules": splitting.AUTOMATIC_RULES}
    url = call.service.uploads.url(str(info.get("reference")))
    return PipelineRun(dataset, payload.inputs, info, text, splitting.split(text, rule), url)


def _shown(document: Document) -> JsonObject:
    return {
        "id": document.id,
        "position": document.position,
        "data_source_type": document.data_source_type,
        "data_source_info": document.data_source_info,
        "name": document.name,
        "indexing_status": document.indexing_status,
        "error": document.error,
        "enabled": document.enabled,
    }


def _require_pipeline(dataset: Dataset) -> None:
    if dataset.pipeline_id is None:
        raise invalid_param("Pipeline not found")


def _run_error(message: str) -> ApiError:
    return ApiError(500, "pipeline_run_error", message)


def _datasource_error(message: str) -> JsonObject:
    return {"event": "datasource_error", "error": message}


def _stream(events: Sequence[JsonObject]) -> Response:
    async def source() -> AsyncGenerator[JsonObject, None]:
        for event in events:
            yield event

    return EventStream(source(), on_disconnect=lambda: None)


_PIPELINE = "/datasets/{dataset_id:uuid}/pipeline"

routes = [
    Route("/datasets/pipeline/file-upload", upload, methods=["POST"]),
    Route(f"{_PIPELINE}/datasource-plugins", datasource_plugins),
    Route(f"{_PIPELINE}/datasource/nodes/{{node_id}}/run", run_datasource_node, methods=["POST"]),
    Route(f"{_PIPELINE}/run", run, methods=["POST"]),
]
