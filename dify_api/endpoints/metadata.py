"""Metadata: the fields of a knowledge base, and their values on its documents.

With a dataset key; servers since 1.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Literal

from dify_api.models import Items, Model
from dify_api.operation import Operation, path, require, require_length, require_uuid

MetadataType = Literal["string", "number", "time"]


class MetadataField(Model):
    """A field that documents of a knowledge base may have."""

    id: str = ""
    name: str = ""
    type: str | None = None
    """string, number or time."""
    count: int | None = None
    """Documents that have it."""


class MetadataFields(Model):
    """The fields of a knowledge base."""

    doc_metadata: Items[MetadataField] = []
    built_in_field_enabled: bool | None = None


class BuiltInFields(Model):
    """The fields that a server fills itself: document_name, uploader, upload_date, ..."""

    fields: Items[MetadataField] = []
    """Without ids."""


class MetadataDetail(Model):
    """The value of a field on a document.

    Example:
        >>> MetadataDetail(id=field.id, name="year", value=1610)
    """

    id: str
    """Of the field."""
    name: str
    """Of the field."""
    value: str | int | float | None = None
    """Text, a number, or seconds since 1970 for a time; None for no value."""


class DocumentMetadataOperation(Model):
    """The values to give to one document."""

    document_id: str
    metadata_list: list[MetadataDetail]
    partial_update: bool = False
    """Whether fields that are not in the list keep their values (servers since about 1.9.0)."""


def list_fields(dataset_id: str) -> Operation[MetadataFields]:
    """List a knowledge base's fields (`GET /datasets/{dataset_id}/metadata`).

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    return Operation("GET", _path(dataset_id), MetadataFields, repeatable=True)


def create_field(
    dataset_id: str,
    name: str,
    type: MetadataType,  # noqa: A002 - its name in Dify's reference
) -> Operation[MetadataField]:
    """Add a field (`POST /datasets/{dataset_id}/metadata`).

    Args:
        dataset_id: The knowledge base.
        name: Up to 255 characters; unique, and none of the built-in fields' names.
        type: "string", "number" or "time".

    Raises:
        ValueError: If `dataset_id` is no UUID, or `name` is empty or too long.

    Example:
        >>> client.send(create_field(dataset_id, "year", "number")).id
        '9e10a21d-...'
    """
    body = {"type": type, "name": _name(name)}
    return Operation("POST", _path(dataset_id), MetadataField, json=body)


def update_field(dataset_id: str, metadata_id: str, name: str) -> Operation[MetadataField]:
    """Rename a field (`PATCH /datasets/{dataset_id}/metadata/{metadata_id}`).

    Servers refuse the name that it has already.

    Raises:
        ValueError: If an id is no UUID, or `name` is empty or too long.
    """
    place = _field_path(dataset_id, metadata_id)
    return Operation("PATCH", place, MetadataField, json={"name": _name(name)})


def delete_field(dataset_id: str, metadata_id: str) -> Operation[None]:
    """Delete a field and its values (`DELETE /datasets/{dataset_id}/metadata/{metadata_id}`).

    Raises:
        ValueError: If an id is no UUID.
    """
    return Operation("DELETE", _field_path(dataset_id, metadata_id), NoneType, repeatable=True)


def built_in_fields(dataset_id: str) -> Operation[BuiltInFields]:
    """List the built-in fields (`GET /datasets/{dataset_id}/metadata/built-in`).

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    return Operation(
        "GET", f"{_path(dataset_id)}/built-in", BuiltInFields, repeatable=True
    ).or_older(path="/datasets/metadata/built-in")


def update_built_in_fields(
    dataset_id: str, action: Literal["enable", "disable"]
) -> Operation[None]:
    """Switch the built-in fields on or off.

    `POST /datasets/{dataset_id}/metadata/built-in/{action}`

    Raises:
        ValueError: If `dataset_id` is no UUID, or `action` is another word, which servers ignore.
    """
    if action not in ("enable", "disable"):
        raise ValueError(f'action must be "enable" or "disable", not {action!r}')
    place = f"{_path(dataset_id)}/built-in/{action}"
    return Operation("POST", place, NoneType, repeatable=True)


def update_documents(
    dataset_id: str, operation_data: Sequence[DocumentMetadataOperation | Mapping[str, Any]]
) -> Operation[None]:
    """Give documents their values (`POST /datasets/{dataset_id}/documents/metadata`).

    Args:
        dataset_id: The knowledge base.
        operation_data: One entry for each document. Without `partial_update` the document loses
            the values that are not in its list.

    Raises:
        ValueError: If an id is no UUID, there is no entry, or a value is none of its types.

    Example:
        >>> year = client.send(create_field(dataset_id, "year", "number"))
        >>> client.send(update_documents(dataset_id, [
        ...     DocumentMetadataOperation(
        ...         document_id=document.id,
        ...         metadata_list=[MetadataDetail(id=year.id, name=year.name, value=1610)],
        ...         partial_update=True,
        ...     )
        ... ]))
    """
    if not operation_data:
        raise ValueError("operation_data must have an entry for at least one document")
    entries = [DocumentMetadataOperation.model_validate(entry) for entry in operation_data]
    for entry in entries:
        require_uuid(entry.document_id, "document_id")
    require_uuid(dataset_id, "dataset_id")
    return Operation(
        "POST",
        path("/datasets/{}/documents/metadata", dataset_id),
        NoneType,
        json={"operation_data": [entry.model_dump(mode="json") for entry in entries]},
        repeatable=True,
    )


def _name(name: str) -> str:
    require(name, "name", "servers take it, and nobody can filter by it")
    return require_length(name, "name", 255)


def _path(dataset_id: str) -> str:
    require_uuid(dataset_id, "dataset_id")
    return path("/datasets/{}/metadata", dataset_id)


def _field_path(dataset_id: str, metadata_id: str) -> str:
    require_uuid(metadata_id, "metadata_id")
    return f"{_path(dataset_id)}/{metadata_id}"
