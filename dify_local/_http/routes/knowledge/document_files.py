"""Documents as files: made and changed by uploading one, downloaded alone or in an archive."""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.requests import UploadedFile
from dify_local._http.responses import json_response
from dify_local._http.routes.knowledge.calls import knowledge_call
from dify_local._http.routes.knowledge.documents import (
    indexed,
    process_rule,
    require_available,
    take_settings,
)
from dify_local._http.routes.knowledge.payloads import (
    DocumentBatchDownloadZipPayload,
    DocumentFileUpdate,
    DocumentSettings,
    KnowledgeConfig,
)
from dify_local._protocol.errors import ApiError, invalid_param, not_found
from dify_local._storage.knowledge.file_text import EXTENSIONS


async def create_by_file(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/document/create-by-file`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    form = await call.form()
    file = form.one_file()
    if not _taken(file):
        raise invalid_param("")
    settings = DocumentSettings.model_validate(form.data)
    technique = settings.indexing_technique or dataset.indexing_technique
    if technique is None:
        raise invalid_param("indexing_technique is required.")
    KnowledgeConfig.model_validate({"indexing_technique": technique})
    rule = process_rule(settings.process_rule)
    take_settings(dataset, settings)
    document = call.service.writer.create(
        dataset,
        file.filename,
        call.service.writer.keep_file(file.filename, file.content_type, file.content),
        doc_form=settings.doc_form,
        doc_language=settings.doc_language,
        process_rule=rule,
    )
    return indexed(call, document)


async def update_by_file(request: Request) -> Response:
    """`PATCH /datasets/{id}/documents/{id}`, and `POST .../update-by-file` as it was before."""
    call = knowledge_call(request)
    dataset = call.dataset()
    form = await call.form()
    form.require_no_more()
    settings = DocumentFileUpdate.model_validate(form.data)
    document = call.document(dataset, "Document not found")
    if form.file and not _taken(form.file):
        raise ApiError(415, "unsupported_file_type", "File type not allowed.")
    rule = process_rule(settings.process_rule)
    require_available(document)
    kept = None
    if form.file:
        kept = call.service.writer.keep_file(
            form.file.filename, form.file.content_type, form.file.content
        )
    call.service.writer.update(
        dataset,
        document,
        name=settings.name,
        file=kept,
        doc_form=settings.doc_form,
        doc_language=settings.doc_language,
        process_rule=rule,
    )
    return indexed(call, document)


def _taken(file: UploadedFile) -> bool:
    return PurePath(file.filename).suffix.lstrip(".").lower() in EXTENSIONS


async def download(request: Request) -> Response:
    """`GET /datasets/{dataset_id}/documents/{document_id}/download`: where its file is."""
    call = knowledge_call(request)
    document = call.document(call.dataset())
    if document.upload_file is None:
        raise not_found("Uploaded file not found.")
    url = call.service.uploads.url(document.upload_file["id"])
    return json_response({"url": f"{url}&as_attachment=true"})


async def download_zip(request: Request) -> Response:
    """`POST /datasets/{dataset_id}/documents/download-zip`."""
    call = knowledge_call(request)
    dataset = call.dataset()
    payload = await call.payload(DocumentBatchDownloadZipPayload)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for document_id in dict.fromkeys(map(str, payload.document_ids)):
            document = call.tables.document(dataset.id, document_id)
            if document is None or document.upload_file is None:
                raise not_found("Document not found.")
            _, content, _, _ = call.service.uploads.content(document.upload_file["id"])
            target.writestr(_new_name(target, document.upload_file["name"]), content)
    headers = {
        "content-type": "application/zip",
        "content-disposition": f'attachment; filename="{dataset.id}.zip"',
    }
    return Response(archive.getvalue(), headers=headers)


def _new_name(archive: zipfile.ZipFile, name: str) -> str:
    path, number = PurePath(name), 1
    while name in archive.namelist():
        name = f"{path.stem} ({number}){path.suffix}"
        number += 1
    return name


_DATASET = "/datasets/{dataset_id:uuid}"
_DOCUMENT = f"{_DATASET}/documents/{{document_id:uuid}}"

routes = [
    Route(f"{_DATASET}/document/create-by-file", create_by_file, methods=["POST"]),
    Route(f"{_DATASET}/document/create_by_file", create_by_file, methods=["POST"]),
    Route(_DOCUMENT, update_by_file, methods=["PATCH"]),
    Route(f"{_DOCUMENT}/update-by-file", update_by_file, methods=["POST"]),
    Route(f"{_DOCUMENT}/update_by_file", update_by_file, methods=["POST"]),
    Route(f"{_DOCUMENT}/download", download),
    Route(f"{_DATASET}/documents/download-zip", download_zip, methods=["POST"]),
]
