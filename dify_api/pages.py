"""Lists across pages: Dify has cursors (`first_id`, `last_id`) and numbered pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from dify_api.models import Model
from dify_api.operation import Operation

ItemT = TypeVar("ItemT")


class Page(Model, Generic[ItemT]):
    """One page of a list."""

    data: list[ItemT] = []
    limit: int | None = None
    has_more: bool | None = None
    """Absent from `/app/feedbacks`."""
    page: int | None = None
    total: int | None = None


def next_page(
    operation: Operation[Page[ItemT]], page: Page[ItemT]
) -> Operation[Page[ItemT]] | None:
    """The operation that asks for the page after `page`; None after the last."""
    if not page.data or page.has_more is False or operation.page is None:
        return None
    if operation.page == "page":
        limit = int(operation.query.get("limit") or page.limit or 20)
        if len(page.data) < limit:
            return None  # `has_more` of /datasets only says that the page is full
        following: str | int = int(operation.query.get("page") or 1) + 1
    else:
        edge = page.data[0] if operation.page == "first_id" else page.data[-1]
        following = str(getattr(edge, "id", ""))
        if not following or operation.query.get(operation.page) == following:
            return None
    return replace(operation, query={**operation.query, operation.page: following})
