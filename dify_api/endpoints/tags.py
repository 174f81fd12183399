"""Tags of knowledge bases, which belong to the workspace.

With a dataset key; servers since about 1.5.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType

from dify_api.endpoints.pages import Page
from dify_api.models import Model
from dify_api.operation import (
    Operation,
    path,
    require,
    require_length,
    require_uuid,
    require_uuids,
)


class Tag(Model):
    """A tag."""

    id: str = ""
    name: str = ""
    type: str | None = None
    """"knowledge"."""
    binding_count: int | None = None
    """Knowledge bases that have it."""


def list_tags() -> Operation[list[Tag]]:
    """List the tags of a workspace (`GET /datasets/tags`)."""
    return Operation("GET", "/datasets/tags", list[Tag], repeatable=True)


def create(name: str) -> Operation[Tag]:
    """Add a tag (`POST /datasets/tags`).

    Args:
        name: Up to 50 characters, unique in the workspace.

    Raises:
        ValueError: If `name` is empty or too long.

    Example:
        >>> tag = client.send(create("science"))
        >>> client.send(bind(dataset_id, [tag.id]))
    """
    return Operation("POST", "/datasets/tags", Tag, json={"name": _name(name)})


def update(tag_id: str, name: str) -> Operation[Tag]:
    """Rename a tag (`PATCH /datasets/tags`).

    Raises:
        ValueError: If `tag_id` is no UUID, or `name` is empty or too long.
    """
    body = {"tag_id": require_uuid(tag_id, "tag_id"), "name": _name(name)}
    return Operation("PATCH", "/datasets/tags", Tag, json=body)


def delete(tag_id: str) -> Operation[None]:
    """Delete a tag (`DELETE /datasets/tags`).

    Raises:
        ValueError: If `tag_id` is no UUID.
    """
    body = {"tag_id": require_uuid(tag_id, "tag_id")}
    return Operation("DELETE", "/datasets/tags", NoneType, json=body)


def bind(dataset_id: str, tag_ids: Sequence[str]) -> Operation[None]:
    """Give a knowledge base tags, besides those that it has (`POST /datasets/tags/binding`).

    Raises:
        ValueError: If an id is no UUID, or there is none.
    """
    body = {
        "tag_ids": require_uuids(tag_ids, "tag_ids"),
        "target_id": require_uuid(dataset_id, "dataset_id"),
    }
    return Operation("POST", "/datasets/tags/binding", NoneType, json=body, repeatable=True)


def unbind(dataset_id: str, tag_ids: Sequence[str]) -> Operation[None]:
    """Take tags from a knowledge base (`POST /datasets/tags/unbinding`).

    Args:
        dataset_id: The knowledge base.
        tag_ids: The tags; older servers take one at a time.

    Raises:
        ValueError: If an id is no UUID, or there is none.
    """
    ids = require_uuids(tag_ids, "tag_ids")
    target = {"target_id": require_uuid(dataset_id, "dataset_id")}
    body = {"tag_id": ids[0], **target} if len(ids) == 1 else {"tag_ids": ids, **target}
    return Operation("POST", "/datasets/tags/unbinding", NoneType, json=body, repeatable=True)


def list_dataset_tags(dataset_id: str) -> Operation[Page[Tag]]:
    """List the tags of a knowledge base (`GET /datasets/{dataset_id}/tags`).

    Raises:
        ValueError: If `dataset_id` is no UUID.
    """
    require_uuid(dataset_id, "dataset_id")
    return Operation("GET", path("/datasets/{}/tags", dataset_id), Page[Tag], repeatable=True)


def _name(name: str) -> str:
    require(name, "name", "a tag needs a name")
    return require_length(name, "name", 50)
