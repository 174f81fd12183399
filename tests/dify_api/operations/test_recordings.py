"""Every recorded exchange that is no stream, through both clients over a real socket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from types import NoneType
from typing import Any, get_origin
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import AliasChoices, BaseModel

from dify_api import Answer, AsyncDifyClient, DifyClient, DifyError, pipelines
from dify_api.endpoints.application import UserInputFormItem
from dify_api.errors import StatusError
from dify_api.operation import Operation
from tests.dify_api.operations.introspection import operation_functions, route, sample
from tests.support.cassettes import Exchange, all_exchanges
from tests.support.replay import Received, ReplayServer, Reply

OPERATIONS = {
    route(function): sample(function)
    for function in operation_functions()
    if function is not pipelines.run_draft
}
DRAFT_RUN = sample(pipelines.run_draft)  # at the path of `pipelines.run`

# The literal paths come before those with an id: /workflows/run is no workflow_id.
_ROUTES = [
    (method, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operation)
    for (method, path), operation in sorted(
        OPERATIONS.items(), key=lambda item: item[0][1].count("{")
    )
]

EXCHANGES = [
    exchange
    for exchange in all_exchanges()
    if not exchange.is_stream and exchange.method not in ("HEAD", "OPTIONS")
]


def operation_for(exchange: Exchange) -> Operation[Any]:
    """The operation of an exchange's endpoint, with the path that was recorded."""
    query = dict(parse_qsl(urlsplit(exchange.recorded["request"]["uri"]).query))
    asked = exchange.request_json if isinstance(exchange.request_json, dict) else {}
    if exchange.path.endswith("/pipeline/run") and asked.get("is_published") is False:
        return replace(DRAFT_RUN, path=exchange.path)
    path = exchange.path.replace("_by_", "-by-").replace("/hit-testing", "/retrieve")  # older names
    for method, pattern, operation in _ROUTES:
        if method == exchange.method and pattern.fullmatch(path):
            return replace(operation, path=exchange.path, query=query, older=None)
    # Signed URLs, upload-file: endpoints that are no operations here.
    result = NoneType if exchange.json is None else type(exchange.json)
    return Operation(exchange.method, exchange.path, result)


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    exchanges = {exchange.name: exchange for exchange in EXCHANGES}

    def reply(request: Received) -> Reply:
        exchange = exchanges[request.headers["x-exchange"]]
        return Reply(exchange.status, exchange.headers, [exchange.body])

    with ReplayServer(reply, stops=False) as replaying:
        yield replaying


@pytest.mark.asyncio(loop_scope="module")  # whose connections are used again
@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
async def test_recorded_exchange(exchange: Exchange, server: ReplayServer) -> None:
    operation = operation_for(exchange)
    settings: dict[str, Any] = {
        "base_url": server.base_url,
        "max_retries": 0,
        "default_headers": {"X-Exchange": exchange.name},
    }
    for outcome in (
        send(DifyClient("app-test", **settings), operation),
        await send_async(AsyncDifyClient("app-test", **settings), operation),
    ):
        check(outcome, operation, exchange)


def send(client: DifyClient, operation: Operation[Any]) -> Any:
    try:
        return client.send(operation)
    except DifyError as error:
        return error


async def send_async(client: AsyncDifyClient, operation: Operation[Any]) -> Any:
    try:
        return await client.send(operation)
    except DifyError as error:
        return error


def check(outcome: Any, operation: Operation[Any], exchange: Exchange) -> None:
    if exchange.status >= 400:
        check_error(outcome, exchange)
    elif operation.generates:
        check_answer(outcome, exchange)
    elif operation.result is NoneType:
        assert outcome is None
    elif operation.result is bytes:
        if exchange.body.strip() == b"null":
            assert isinstance(outcome, DifyError)
        else:
            assert outcome == exchange.body
    else:
        assert isinstance(outcome, get_origin(operation.result) or operation.result)
        body = exchange.json
        assert_agrees({**body, **body["data"]} if operation.enveloped else body, outcome)


def check_error(outcome: Any, exchange: Exchange) -> None:
    assert isinstance(outcome, StatusError)
    assert outcome.status == exchange.status
    report = exchange.json if isinstance(exchange.json, dict) else {}
    if "code" in report:
        assert outcome.code == report["code"]
    else:  # HTML pages, and the validation reports of 1.8 and of segments
        assert outcome.code in {"not_found", "internal_server_error", "bad_request"}
    told = report.get("message", report.get("error"))
    assert outcome.message == told if told is not None else outcome.message
    assert "app-test" not in f"{outcome} {outcome!r} {vars(outcome)}"


def check_answer(outcome: Any, exchange: Exchange) -> None:
    """Blocking generations; those of chat and completion apps have a test of their own."""
    run = exchange.json.get("data") if isinstance(exchange.json, dict) else None
    if not isinstance(run, dict):
        assert isinstance(outcome, Answer | DifyError)
    elif run["status"] in ("failed", "paused"):
        assert isinstance(outcome, DifyError)
    else:
        assert isinstance(outcome, Answer)
        assert outcome.outputs == run["outputs"]
        assert outcome.workflow is not None
        assert_agrees(run, outcome.workflow)


def assert_agrees(raw: Any, value: Any, place: str = "") -> None:
    """What was decoded is what was sent: nothing lost, nothing changed but its type."""
    if isinstance(value, UserInputFormItem):
        ((kind, raw),) = raw.items()
        assert value.type == kind, place
        raw = {**raw, "type": kind}
    if isinstance(value, BaseModel):
        if not isinstance(raw, dict):
            raw = {"id": raw}  # a file, named by its id alone
        for name, part in raw.items():
            if name == "data" and "data" not in type(value).model_fields:
                continue  # the envelope of `value`
            assert_agrees(part, _field(value, name), f"{place}.{name}")
    elif isinstance(value, list):
        for index, (part, item) in enumerate(zip(raw or [], value, strict=True)):
            assert_agrees(part, item, f"{place}[{index}]")
    elif isinstance(value, datetime):
        assert value == _moment(raw), place
    elif isinstance(value, int) and isinstance(raw, str):
        assert value == int(raw), place
    elif isinstance(value, Decimal):
        assert value == Decimal(str(raw)), place
    elif isinstance(value, dict) and isinstance(raw, str):
        assert value == json.loads(raw), place
    elif raw is None:
        assert not value, place
    elif place == ".query":
        assert value == (raw["content"] if isinstance(raw, dict) else raw)
    else:
        assert value == raw, place


def _field(value: BaseModel, name: str) -> Any:
    for attribute, field in type(value).model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or attribute]
        if name in choices:
            return getattr(value, attribute)
    return (value.model_extra or {})[name]


def _moment(raw: Any) -> datetime:
    if isinstance(raw, str):
        moment = datetime.fromisoformat(raw)
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return datetime.fromtimestamp(raw, timezone.utc)
