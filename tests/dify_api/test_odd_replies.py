"""Replies that are no Dify's: hang-ups, pages, nonsense. Each is a `DifyError`."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from dify_api import AsyncDifyClient, DifyClient, application, chat, errors, feedback
from dify_api.operation import Operation
from tests.support.replay import ReplayServer, Reply

Kind = type[DifyClient | AsyncDifyClient]

MESSAGE = chat.send_message("Hello", user="ann")


async def send(kind: Kind, operation: Operation[Any], url: str) -> Any:
    result = kind("app-secret", base_url=url, max_retries=0).send(operation)
    return await result if kind is AsyncDifyClient else result


@pytest.fixture(params=[DifyClient, AsyncDifyClient])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


async def test_a_server_that_hangs_up_did_not_time_out(kind: Kind) -> None:
    with ReplayServer(lambda _: Reply()) as server:

        def hang_up(_: object) -> Reply:
            server.__exit__()
            return Reply()

        server.reply = hang_up
        with pytest.raises(errors.ConnectionFailedError, match="cannot reach") as raised:
            await send(kind, MESSAGE, server.base_url)
    assert type(raised.value) is errors.ConnectionFailedError
    assert raised.value.sent


async def test_a_page_is_no_confirmation(kind: Kind) -> None:
    page = Reply(200, {"content-type": "text/html"}, [b"<html>Sign in</html>"])
    with ReplayServer(lambda _: page) as server:
        rating = feedback.create(str(uuid.uuid4()), "like", user="ann")
        with pytest.raises(errors.UnexpectedReplyError, match="base_url"):
            await send(kind, rating, server.base_url)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("operation", [MESSAGE, application.info()], ids=lambda o: o.path)
async def test_json_that_is_nested_without_end(
    kind: Kind, operation: Operation[Any], status: int
) -> None:
    nested = Reply(status, {"content-type": "application/json"}, [b"[" * 200_000])
    expected = errors.UnexpectedReplyError if status == 200 else errors.BadRequestError
    with ReplayServer(lambda _: nested) as server, pytest.raises(expected):
        await send(kind, operation, server.base_url)
