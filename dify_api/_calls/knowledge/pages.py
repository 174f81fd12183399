"""Lists across their pages, as a step of a flow."""

from __future__ import annotations

from typing import TypeVar

from dify_api._calls.knowledge.indexing import patiently
from dify_api._runs.flows import Flow
from dify_api.endpoints.pages import Page, next_page
from dify_api.operation import Operation

ItemT = TypeVar("ItemT")


def every_item(operation: Operation[Page[ItemT]]) -> Flow[list[ItemT]]:
    """The items of all pages of a list.

    Args:
        operation: Asks for the first page.
    """
    items: list[ItemT] = []
    before: list[ItemT] = []
    following: Operation[Page[ItemT]] | None = operation
    while following is not None:
        page = yield from patiently(following)
        if page.data == before:
            break  # a server that knows no pages of this list (segments, 0.15.3)
        before = page.data
        items += page.data
        following = next_page(following, page)
    return items
