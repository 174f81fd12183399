"""Lists across pages, lazily: cursors and numbers, sync and async."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dify_api import (
    AsyncDifyClient,
    DifyClient,
    annotations,
    conversations,
    errors,
    feedback,
    knowledge,
    messages,
    segments,
    workflows,
)
from dify_api.endpoints.pages import Page
from dify_api.operation import Operation
from tests.dify_api.operations.serving import ID, json_reply
from tests.support.replay import Received, ReplayServer, Reply

NAMES = [str(number) for number in range(1, 8)]


def server_of(names: list[str], *, says_more: bool = True) -> ReplayServer:
    """A server whose lists hold `names`, newest first, as each endpoint of Dify's pages them."""

    def reply(request: Received) -> Reply:
        query = {k: v[0] for k, v in parse_qs(urlsplit(request.path).query).items()}
        limit = int(query.get("limit", 3))
        if "/messages" in request.path:
            before = names.index(query["first_id"]) + 1 if "first_id" in query else 0
            chosen = names[before : before + limit][::-1]
        elif "/conversations" in request.path:
            before = names.index(query["last_id"]) + 1 if "last_id" in query else 0
            chosen = names[before : before + limit]
        else:
            before = (int(query.get("page", 1)) - 1) * limit
            chosen = names[before : before + limit]
        body: dict[str, Any] = {"data": [{"id": name} for name in chosen]}
        if says_more:
            body |= {"limit": limit, "has_more": before + limit < len(names)}
        return json_reply(body)

    return ReplayServer(reply)


LISTS: list[Operation[Page[Any]]] = [
    messages.list_messages("c", user="ann"),
    conversations.list_conversations(user="ann"),
    conversations.variables(ID, user="ann"),
    annotations.list_annotations(),
    workflows.logs(),
    knowledge.datasets(),
]


@pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.path)
@pytest.mark.parametrize("size", [0, 1, 3, 6, 7])
async def test_all_items_come_once_and_in_order(operation: Operation[Page[Any]], size: int) -> None:
    with server_of(NAMES[:size]) as server:
        client = DifyClient("app-test", base_url=server.base_url)
        assert [item.id for item in client.iterate(operation)] == NAMES[:size]
        assert len(server.requests) == max(1, -(-size // 3))
        async_client = AsyncDifyClient("app-test", base_url=server.base_url)
        assert [item.id async for item in async_client.iterate(operation)] == NAMES[:size]


def test_pages_are_asked_for_when_they_are_needed() -> None:
    with server_of(NAMES) as server:
        items = DifyClient("app-test", base_url=server.base_url).iterate(knowledge.datasets())
        assert server.requests == []
        assert [next(items).id for _ in range(3)] == ["1", "2", "3"]
        assert len(server.requests) == 1
        assert next(items).id == "4"
        assert len(server.requests) == 2


@pytest.mark.parametrize("size", [0, 2, 3, 6, 7])
def test_a_list_that_does_not_say_whether_there_is_more(size: int) -> None:
    with server_of(NAMES[:size], says_more=False) as server:
        client = DifyClient("app-test", base_url=server.base_url)
        found = client.iterate(feedback.list_feedbacks(limit=3))
        assert [item.id for item in found] == NAMES[:size]


def test_a_list_begins_where_it_is_told_to() -> None:
    with server_of(NAMES) as server:
        client = DifyClient("app-test", base_url=server.base_url)
        later = conversations.list_conversations(user="ann", last_id="2", limit=2)
        assert [item.id for item in client.iterate(later)] == NAMES[2:]
        assert [item.id for item in client.iterate(workflows.logs(page=2, limit=3))] == NAMES[3:]


def test_a_page_keeps_the_order_of_the_server() -> None:
    with server_of(NAMES) as server:
        client = DifyClient("app-test", base_url=server.base_url)
        page = client.send(messages.list_messages("c", user="ann"))
        assert [item.id for item in page.data] == ["3", "2", "1"]  # oldest first
        assert (page.limit, page.has_more) == (3, True)


def test_a_server_that_repeats_itself_does_not_trap_the_client() -> None:
    same = json_reply({"data": [{"id": "1"}], "has_more": True, "limit": 1})
    with ReplayServer(lambda _: same) as server:
        client = DifyClient("app-test", base_url=server.base_url)
        found = client.iterate(conversations.list_conversations(user="ann"))
        assert [item.id for item in found] == ["1"]


def test_an_error_between_pages_is_raised_after_what_came_before() -> None:
    replies = iter([json_reply({"data": [{"id": "1"}], "has_more": True}), json_reply({}, 404)])
    with ReplayServer(lambda _: next(replies)) as server:
        found = DifyClient("app-test", base_url=server.base_url).iterate(
            conversations.list_conversations(user="ann")
        )
        assert next(found).id == "1"
        with pytest.raises(errors.NotFoundError):
            next(found)


async def test_a_server_that_knows_no_pages_of_a_list_is_asked_once_more_at_most() -> None:
    def everything(count: int) -> Reply:
        return json_reply({"data": [{"id": str(n)} for n in range(count)]})  # segments, 0.15.3

    for count, requests in ((19, 1), (20, 2), (50, 1)):
        operation = segments.list_segments(ID, ID)
        with ReplayServer(lambda _, count=count: everything(count)) as server:
            found = DifyClient("app-test", base_url=server.base_url).iterate(operation)
            assert len(list(found)) == count
            assert len(server.requests) == requests
            client = AsyncDifyClient("app-test", base_url=server.base_url)
            assert len([segment async for segment in client.iterate(operation)]) == count
