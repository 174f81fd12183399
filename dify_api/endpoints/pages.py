"""Lists across pages: Dify has cursors (`first_id`, `last_id`) and numbered pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from dify_api.models import Items, Model
from dify_api.operation import Operation

ItemT = TypeVar("ItemT")


class Page(Model, Generic[ItemT]):
    """One page of a list."""

    data: Items[ItemT] = []
    limit: int | None = None
    has_more: bool | None = None
    """Absent from `/app/feedbacks`."""
    page: int | None = None
    total: int | None = None


def numbered(page: int | None, limit: int | None) -> dict[str, int | None]:
    """The query of a numbered page.

    Raises:
        ValueError: If a number is out of bounds. Servers cut a greater `limit` down without saying
            so, and the pages after the first would not be asked for.
    """
    if page is not None and page < 1:
        raise ValueError(f"page must be 1 or more, not {page}")
    if limit is not None and not 1 <= limit <= 100:
        raise ValueError(f"limit must be between 1 and 100, not {limit}")
    return {"page": page, "limit": limit}


def in_order(operation: Operation[Page[ItemT]], page: Page[ItemT]) -> list[ItemT]:
    """The items of a page in the order in which its list goes on.

    Messages come in pages from newest to oldest, each page from oldest to newest: they are
    turned, so that the whole list goes from newest to oldest.
    """
    return page.data[::-1] if operation.page == "first_id" else page.data


def next_page(
    operation: Operation[Page[ItemT]], page: Page[ItemT]
) -> Operation[Page[ItemT]] | None:
    """The operation that asks for the page after `page`; None after the last."""
    if not page.data or page.has_more is False or operation.page is None:
        return None
    if operation.page == "page":
        if len(page.data) != (_number(operation, "limit") or page.limit or 20):
            return None  # `has_more` of /datasets only says that the page is full
        following: str | int = (_number(operation, "page") or 1) + 1
    else:
        following = str(getattr(in_order(operation, page)[-1], "id", ""))
        if not following or operation.query.get(operation.page) == following:
            return None
    return replace(operation, query={**operation.query, operation.page: following})


def _number(operation: Operation[object], name: str) -> int | None:
    value = operation.query.get(name)
    return value if isinstance(value, int) else None
