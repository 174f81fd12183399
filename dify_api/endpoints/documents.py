"""Documents of a knowledge base: add, change, list, download, switch. With a dataset key.

Servers index in the background: `indexing_status` tells how far they are with the `batch` that
`create_by_text`, `create_by_file` and the updates return.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import NoneType
from typing import Literal, get_args

from typing_extensions import Unpack

from dify_api.endpoints.document_records import DisplayStatus, StatusAction
from dify_api.endpoints.document_records import Document as Document
from dify_api.endpoints.document_records import DocumentBatch as DocumentBatch
from dify_api.endpoints.document_records import DocumentDownload as DocumentDownload
from dify_api.endpoints.document_records import DocumentMetadata as DocumentMetadata
from dify_api.endpoints.document_records import IndexingProgress as IndexingProgress
from dify_api.endpoints.document_settings import DocumentSettings as DocumentSettings
from dify_api.endpoints.document_settings import NewDocumentSettings as NewDocumentSettings
from dify_api.endpoints.document_settings import PreProcessingRule as PreProcessingRule
from dify_api.endpoints.document_settings import ProcessRule as ProcessRule
from dify_api.endpoints.document_settings import ProcessRules as ProcessRules
from dify_api.endpoints.document_settings import Segmentation as Segmentation
from dify_api.endpoints.document_settings import document_part, new_settings_fields, settings_fields
from dify_api.endpoints.files import File
from dify_api.endpoints.pages import Page, numbered
from dify_api.endpoints.retrieval import IndexingTechnique
from dify_api.operation import (
    Operation,
    path,
    require,
    require_some,
    require_uuid,
    require_uuids,
    without_none,
)


def create_by_text(
    dataset_id: str,
    name: str,
    text: str,
    *,
    indexing_technique: IndexingTechnique,
    **settings: Unpack[NewDocumentSettings],
) -> Operation[DocumentBatch]:
    """Add a text as a document (`POST /datasets/{dataset_id}/document/create-by-text`).

    Servers before 0.15.0 write it `create_by_text`, which is tried after a 404.

    Args:
        dataset_id: The knowledge base.
        name: The document's name.
        text: Its text.
        indexing_technique: "high_quality" or "economy", for later documents too: that of the
            knowledge base.
        **settings: Fields of `NewDocumentSettings`: `process_rule` (default: automatic),
            `doc_form`, `retrieval_model`, `embedding_model`, ...

    Raises:
        ValueError: If an id is no UUID, the name or text is empty, there is no
            `indexing_technique`, or a setting holds a value that it cannot have.

    Example:
        >>> added = client.send(create_by_text(dataset_id, "moons", "Saturn has 146 moons.",
        ...                                    indexing_technique="high_quality"))
        >>> client.send(indexing_status(dataset_id, added.batch)).data[0].indexing_status
        'completed'
    """
    require(name, "name", "a document needs a name")
    require(text, "text", "a document without text would have no segments")
    require(
        indexing_technique,
        "indexing_technique",
        'give "high_quality" or "economy", as the knowledge base has it; servers want it each time',
    )
    place = _document_path(dataset_id)
    return Operation(
        "POST",
        f"{place}/create-by-text",
        DocumentBatch,
        json={
            "name": name,
            "text": text,
            "indexing_technique": indexing_technique,
            **new_settings_fields(**settings),
        },
    ).or_older(path=f"{place}/create_by_text")


def create_by_file(
    dataset_id: str,
    file: File,
    *,
    name: str | None = None,
    mime_type: str | None = None,
    indexing_technique: IndexingTechnique | None = None,
    **settings: Unpack[NewDocumentSettings],
) -> Operation[DocumentBatch]:
    """Add a file as a document (`POST /datasets/{dataset_id}/document/create-by-file`).

    Servers before 0.15.0 write it `create_by_file`, which is tried after a 404. The file is sent
    as it is read, of whatever size; servers take 15 MB unless they are set otherwise.

    Args:
        dataset_id: The knowledge base.
        file: A path, bytes, or an open binary file.
        name: File name with its extension, by which servers tell what it is. Default: that of
            the path or of the open file.
        mime_type: Default: told from the name.
        indexing_technique: Needed by a knowledge base that has none yet. Default: its own.
        **settings: Fields of `NewDocumentSettings`: `process_rule` (default: automatic),
            `doc_form`, `retrieval_model`, `embedding_model`, ...

    Raises:
        ValueError: If an id is no UUID, the name has no extension, or a setting holds a value
            that it cannot have.

    Example:
        >>> added = client.send(create_by_file(dataset_id, "moons.pdf"))
    """
    place = _document_path(dataset_id)
    fields = without_none({"indexing_technique": indexing_technique})
    fields.update(new_settings_fields(**settings))
    return Operation(
        "POST",
        f"{place}/create-by-file",
        DocumentBatch,
        form={"data": json.dumps(fields)},
        file=document_part(file, name, mime_type),
    ).or_older(path=f"{place}/create_by_file")


def list_documents(
    dataset_id: str,
    *,
    keyword: str | None = None,
    status: DisplayStatus | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Operation[Page[Document]]:
    """List documents, the newest first (`GET /datasets/{dataset_id}/documents`).

    Args:
        dataset_id: The knowledge base.
        keyword: Text to find in their names.
        status: Only those in this state (1.12.0 and later).
        page: Number of the page, from 1.
        limit: Documents on a page, 1 to 100. Default: the server's, 20.

    Raises:
        ValueError: If `dataset_id` is no UUID, or a number is out of bounds.

    Example:
        >>> {document.name for document in client.iterate(list_documents(dataset_id))}
        {'moons', 'rings.pdf'}
    """
    return Operation(
        "GET",
        _path(dataset_id),
        Page[Document],
        query={"keyword": keyword, "status": status, **numbered(page, limit)},
        repeatable=True,
        page="page",
    )


def get(
    dataset_id: str,
    document_id: str,
    *,
    metadata: Literal["all", "only", "without"] | None = None,
) -> Operation[Document]:
    """Look up a document (`GET /datasets/{dataset_id}/documents/{document_id}`).

    Servers since about 1.7.0.

    Args:
        dataset_id: The knowledge base.
        document_id: The document.
        metadata: "only" its metadata, or all "without" them. Default: "all".

    Raises:
        ValueError: If an id is no UUID.
    """
    return Operation(
        "GET",
        _path(dataset_id, document_id),
        Document,
        query={"metadata": metadata},
        repeatable=True,
    )


def update(
    dataset_id: str,
    document_id: str,
    file: File | None = None,
    *,
    name: str | None = None,
    mime_type: str | None = None,
    **settings: Unpack[DocumentSettings],
) -> Operation[DocumentBatch]:
    """Replace a document's file (`PATCH /datasets/{dataset_id}/documents/{document_id}`).

    Where a server does not know it yet, `update_by_file` is tried, which does the same.

    Args:
        dataset_id: The knowledge base.
        document_id: The document, which is indexed anew and keeps its id.
        file: A path, bytes, or an open binary file. Default: the file that it has.
        name: File name with its extension. Default: that of the path or of the open file.
        mime_type: Default: told from the name.
        **settings: Fields of `DocumentSettings`: `process_rule` (default: the knowledge base's
            latest), `doc_form`, `doc_language`, `retrieval_model`.

    Raises:
        ValueError: If an id is no UUID, there is neither a file nor a rule, the name has no
            extension, or a setting holds a value that it cannot have.
    """
    fields = settings_fields(**settings)
    given = {"file": file, "process_rule": fields.get("process_rule")}
    require_some(given, "nothing of the document is changed")
    place = _path(dataset_id, document_id)
    operation = Operation(
        "PATCH",
        place,
        DocumentBatch,
        form={"data": json.dumps(fields)},
        file=None if file is None else document_part(file, name, mime_type),
    )
    by_file = operation.or_older(method="POST", path=f"{place}/update-by-file")
    return by_file.or_older(method="POST", path=f"{place}/update_by_file")


def update_by_file(
    dataset_id: str,
    document_id: str,
    file: File | None = None,
    *,
    name: str | None = None,
    mime_type: str | None = None,
    **settings: Unpack[DocumentSettings],
) -> Operation[DocumentBatch]:
    """Replace a document's file, as servers before 1.15 know it: arguments and result of `update`.

    `POST /datasets/{dataset_id}/documents/{document_id}/update-by-file`; newer servers call it
    deprecated. Those before 0.15.0 write it `update_by_file`, which is tried after a 404.
    """
    newest = update(dataset_id, document_id, file, name=name, mime_type=mime_type, **settings)
    assert newest.older is not None  # noqa: S101 - `update` has just set it
    return newest.older


def update_by_text(
    dataset_id: str,
    document_id: str,
    *,
    name: str | None = None,
    text: str | None = None,
    **settings: Unpack[DocumentSettings],
) -> Operation[DocumentBatch]:
    """Replace a document's text.

    `POST /datasets/{dataset_id}/documents/{document_id}/update-by-text`; servers before 0.15.0
    write it `update_by_text`, which is tried after a 404.

    Args:
        dataset_id: The knowledge base.
        document_id: The document, which is indexed anew and keeps its id.
        name: Its name, which goes with a text.
        text: Its text. Default: the one that it has, to be split anew.
        **settings: Fields of `DocumentSettings`: `process_rule` (default: the knowledge base's
            latest), `doc_form`, `doc_language`, `retrieval_model`.

    Raises:
        ValueError: If an id is no UUID, there is neither a text nor a rule, a text without a
            name, or a setting holds a value that it cannot have.
    """
    if text is not None:
        require(text, "text", "servers keep the old text for it; delete the document instead")
        require(name or "", "name", "servers want a name with a text, the old one to keep it")
    fields = settings_fields(**settings)
    given = {"text": text, "process_rule": fields.get("process_rule")}
    require_some(given, "nothing of the document is changed")
    place = _path(dataset_id, document_id)
    return Operation(
        "POST",
        f"{place}/update-by-text",
        DocumentBatch,
        json={**without_none({"name": name, "text": text}), **fields},
    ).or_older(path=f"{place}/update_by_text")


def delete(dataset_id: str, document_id: str) -> Operation[None]:
    """Delete a document (`DELETE /datasets/{dataset_id}/documents/{document_id}`).

    Servers refuse to delete an archived one.

    Raises:
        ValueError: If an id is no UUID.
    """
    return Operation("DELETE", _path(dataset_id, document_id), NoneType)


def download(dataset_id: str, document_id: str) -> Operation[DocumentDownload]:
    """Ask where its file is (`GET /datasets/{dataset_id}/documents/{document_id}/download`).

    Servers since about 1.14.0; older ones, since 1.1.0, know it as `upload-file`, which is tried
    after a 404.

    Raises:
        ValueError: If an id is no UUID.
    """
    place = _path(dataset_id, document_id)
    return Operation("GET", f"{place}/download", DocumentDownload, repeatable=True).or_older(
        path=f"{place}/upload-file"
    )


def download_zip(dataset_id: str, document_ids: Sequence[str]) -> Operation[bytes]:
    """Download files in one archive (`POST /datasets/{dataset_id}/documents/download-zip`).

    Servers since about 1.14.0. `client.stream_bytes` brings a large one piece by piece.

    Args:
        dataset_id: The knowledge base.
        document_ids: Up to 100 documents that have files (texts have them too).

    Raises:
        ValueError: If an id is no UUID, there is none, or more than 100.
    """
    ids = require_uuids(document_ids, "document_ids")
    if len(ids) > 100:
        raise ValueError(f"document_ids must be at most 100, not {len(ids)}")
    place = f"{_path(dataset_id)}/download-zip"
    return Operation("POST", place, bytes, json={"document_ids": ids}, repeatable=True)


def indexing_status(dataset_id: str, batch: str) -> Operation[Page[IndexingProgress]]:
    """Ask how far indexing is (`GET /datasets/{dataset_id}/documents/{batch}/indexing-status`).

    Args:
        dataset_id: The knowledge base.
        batch: Of a `DocumentBatch`.

    Raises:
        ValueError: If `dataset_id` is no UUID, or `batch` is empty.
    """
    require_uuid(dataset_id, "dataset_id")
    return Operation(
        "GET",
        path("/datasets/{}/documents/{}/indexing-status", dataset_id, batch),
        Page[IndexingProgress],
        repeatable=True,
    )


def update_status(
    dataset_id: str,
    action: StatusAction,
    document_ids: Sequence[str],
) -> Operation[None]:
    """Enable, disable or archive documents.

    `PATCH /datasets/{dataset_id}/documents/status/{action}`; servers since about 1.6.0. They may
    lock an enabled or disabled document for up to ten minutes, and skip ids that they do not know.

    Args:
        dataset_id: The knowledge base.
        action: "enable", "disable", "archive" or "un_archive".
        document_ids: The documents, which must be indexed.

    Raises:
        ValueError: If an id is no UUID, there is none, or `action` is another word.
    """
    if action not in get_args(StatusAction):
        raise ValueError(f"action must be one of {get_args(StatusAction)}, not {action!r}")
    ids = require_uuids(document_ids, "document_ids")
    place = f"{_path(dataset_id)}/status/{action}"
    return Operation("PATCH", place, NoneType, json={"document_ids": ids})


def _document_path(dataset_id: str) -> str:
    require_uuid(dataset_id, "dataset_id")
    return path("/datasets/{}/document", dataset_id)


def _path(dataset_id: str, document_id: str | None = None) -> str:
    require_uuid(dataset_id, "dataset_id")
    place = path("/datasets/{}/documents", dataset_id)
    if document_id is None:
        return place
    return f"{place}/{require_uuid(document_id, 'document_id')}"
