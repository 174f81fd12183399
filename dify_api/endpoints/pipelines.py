"""Knowledge pipelines: workflows that bring documents into a knowledge base. With a dataset key.

Servers since about 1.12.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dify_api.answers.answer import Answer
from dify_api.endpoints.document_records import Document
from dify_api.endpoints.files import File, UploadedFile, file_part
from dify_api.models import Items, Model
from dify_api.operation import Operation, path, require, require_uuid, without_none

DatasourceType = Literal["local_file", "online_document", "website_crawl", "online_drive"]


class DatasourceCredential(Model):
    """A way to authenticate with a datasource."""

    id: str | None = None
    name: str | None = None
    type: str | None = None
    is_default: bool | None = None


class DatasourcePlugin(Model):
    """A node of a pipeline by which documents come in."""

    node_id: str = ""
    """For `run` and `run_datasource_node`."""
    plugin_id: str | None = None
    provider_name: str | None = None
    datasource_type: str | None = None
    """local_file, online_document, website_crawl or online_drive."""
    title: str | None = None
    user_input_variables: Items[dict[str, Any]] = []
    """Inputs that the node wants."""
    credentials: Items[DatasourceCredential] = []


class LocalFile(Model):
    """A file that was uploaded with `upload`."""

    reference: str
    """Its id."""
    name: str | None = None
    """The document's name. Default: "untitled"."""


class DocumentPage(Model):
    """A page of an online document."""

    page_id: str
    type: str
    """Such as "page" or "database"."""
    page_name: str | None = None
    """The document's name. Default: "untitled"."""


class OnlineDocument(Model):
    """A page of Notion or the like."""

    workspace_id: str
    page: DocumentPage
    credential_id: str | None = None


class WebPage(Model):
    """A page of a website."""

    url: str
    title: str | None = None
    """The document's name. Default: "untitled"."""


class OnlineDriveFile(Model):
    """A file or a folder of an online drive."""

    id: str
    type: Literal["file", "folder"]
    bucket: str | None = None
    name: str | None = None
    """The document's name. Default: "untitled"."""


DatasourceInfo = LocalFile | OnlineDocument | WebPage | OnlineDriveFile


class PipelineDataset(Model):
    """The knowledge base that a pipeline fills."""

    id: str = ""
    name: str = ""
    description: str | None = None
    chunk_structure: str | None = None


class PipelineRun(Model):
    """The documents that a run of a pipeline makes; they are indexed in the background."""

    batch: str = ""
    """For `documents.indexing_status`."""
    dataset: PipelineDataset = PipelineDataset()
    documents: Items[Document] = []


def upload(
    file: File, *, name: str | None = None, mime_type: str | None = None
) -> Operation[UploadedFile]:
    """Upload a file for a pipeline (`POST /datasets/pipeline/file-upload`).

    Args:
        file: A path, bytes, or an open binary file, which is sent as it is read.
        name: File name with its extension. Default: that of the path or of the open file.
        mime_type: Default: told from the name.

    Example:
        >>> uploaded = client.send(upload("moons.pdf"))
        >>> client.send(run(dataset_id, [uploaded], datasource_type="local_file",
        ...                 start_node_id="file")).batch
        '20261123164709835412'
    """
    return Operation(
        "POST",
        "/datasets/pipeline/file-upload",
        UploadedFile,
        file=file_part(file, name, mime_type),
    )


def datasource_plugins(
    dataset_id: str, *, is_published: bool | None = None
) -> Operation[list[DatasourcePlugin]]:
    """List the nodes that take documents in.

    `GET /datasets/{dataset_id}/pipeline/datasource-plugins`

    Args:
        dataset_id: A knowledge base with a pipeline.
        is_published: False for those of the draft. Default: the published pipeline's.

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    return Operation(
        "GET",
        f"{_path(dataset_id)}/datasource-plugins",
        list[DatasourcePlugin],
        query={"is_published": is_published},
        repeatable=True,
    )


def run_datasource_node(
    dataset_id: str,
    node_id: str,
    *,
    datasource_type: DatasourceType,
    inputs: Mapping[str, Any] | None = None,
    credential_id: str | None = None,
    is_published: bool = True,
) -> Operation[Answer]:
    """Ask a datasource what it has: pages, files, what a crawl finds.

    `POST /datasets/{dataset_id}/pipeline/datasource/nodes/{node_id}/run`. Iterate
    `client.stream(...)` to see how far it is; what it found is `answer.outputs["data"]`.

    Args:
        dataset_id: A knowledge base with a pipeline.
        node_id: From `datasource_plugins`.
        datasource_type: That of the node; a "local_file" has nothing to ask for.
        inputs: What the node wants.
        credential_id: From `datasource_plugins`. Default: the datasource's default.
        is_published: Whether to run the published node, or the draft's.

    Raises:
        ValueError: If `dataset_id` is no UUID, or `node_id` is empty.

    Example:
        >>> found = client.send(run_datasource_node(dataset_id, "crawl",
        ...                                         datasource_type="website_crawl",
        ...                                         inputs={"url": "https://example.com"}))
        >>> [page["source_url"] for page in found.outputs["data"]]
        ['https://example.com/']
    """
    return Operation(
        "POST",
        f"{_path(dataset_id)}{path('/datasource/nodes/{}/run', node_id)}",
        Answer,
        json=without_none(
            {
                "inputs": dict(inputs or {}),
                "datasource_type": datasource_type,
                "credential_id": credential_id,
                "is_published": is_published,
            }
        ),
        generates=True,
    )


def run(
    dataset_id: str,
    datasource_info_list: Sequence[UploadedFile | DatasourceInfo | Mapping[str, Any]],
    *,
    datasource_type: DatasourceType,
    start_node_id: str,
    inputs: Mapping[str, Any] | None = None,
) -> Operation[PipelineRun]:
    """Bring documents in by the published pipeline (`POST /datasets/{dataset_id}/pipeline/run`).

    Args:
        dataset_id: A knowledge base with a pipeline.
        datasource_info_list: What to bring in: what `upload` returned, or what
            `run_datasource_node` found. A server takes unknown files without a word.
        datasource_type: That of the node.
        start_node_id: The node, from `datasource_plugins`.
        inputs: What the pipeline wants besides.

    Raises:
        ValueError: If `dataset_id` is no UUID, there is no document, or no `start_node_id`.
    """
    body = _run_body(datasource_info_list, datasource_type, start_node_id, inputs)
    return Operation(
        "POST",
        f"{_path(dataset_id)}/run",
        PipelineRun,
        json={**body, "is_published": True, "response_mode": "blocking"},
    )


def run_draft(
    dataset_id: str,
    datasource_info_list: Sequence[UploadedFile | DatasourceInfo | Mapping[str, Any]],
    *,
    datasource_type: DatasourceType,
    start_node_id: str,
    inputs: Mapping[str, Any] | None = None,
) -> Operation[Answer]:
    """Try the draft of a pipeline (`POST /datasets/{dataset_id}/pipeline/run`).

    Nothing is brought in: `client.stream(...)` shows what each node does, and `answer.outputs`
    holds the segments.

    Args:
        dataset_id: A knowledge base with a pipeline.
        datasource_info_list: As of `run`.
        datasource_type: That of the node.
        start_node_id: The node, from `datasource_plugins(dataset_id, is_published=False)`.
        inputs: What the pipeline wants besides.

    Raises:
        ValueError: As of `run`.
    """
    body = _run_body(datasource_info_list, datasource_type, start_node_id, inputs)
    return Operation(
        "POST",
        f"{_path(dataset_id)}/run",
        Answer,
        json={**body, "is_published": False, "response_mode": "streaming"},
        generates=True,
    )


def _run_body(
    datasource_info_list: Sequence[UploadedFile | DatasourceInfo | Mapping[str, Any]],
    datasource_type: DatasourceType,
    start_node_id: str,
    inputs: Mapping[str, Any] | None,
) -> dict[str, Any]:
    if not datasource_info_list:
        raise ValueError("datasource_info_list must have at least one document")
    require(start_node_id, "start_node_id", "name a node that datasource_plugins lists")
    return {
        "inputs": dict(inputs or {}),
        "datasource_type": datasource_type,
        "datasource_info_list": [_datasource_info(info) for info in datasource_info_list],
        "start_node_id": start_node_id,
    }


def _datasource_info(info: UploadedFile | DatasourceInfo | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(info, UploadedFile):
        return info.model_dump(exclude_none=True) if isinstance(info, Model) else dict(info)
    return {
        "reference": info.id,
        "related_id": info.id,  # its name before `reference`
        "name": info.name or "untitled",
        "type": info.mime_type,
        "size": info.size,
        "extension": info.extension,
        "mime_type": info.mime_type,
        "url": "",
        "transfer_method": "local_file",
    }


def _path(dataset_id: str) -> str:
    require_uuid(dataset_id, "dataset_id")
    return path("/datasets/{}/pipeline", dataset_id)
