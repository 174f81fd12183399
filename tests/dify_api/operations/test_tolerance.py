"""Whatever a server sends: a result, or an error of ours."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any, get_origin

from hypothesis import given, settings
from hypothesis import strategies as st

from dify_api._replies import error_from_reply, result_from_reply
from dify_api.errors import DifyError, UnexpectedReplyError
from dify_api.operation import Operation
from tests.dify_api.operations.test_recordings import EXCHANGES, operation_for

RECORDED = [
    (operation, exchange.json)
    for exchange in EXCHANGES
    if exchange.status < 300
    and isinstance(exchange.json, dict)
    and not (operation := operation_for(exchange)).generates
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["1e999", "NaN", "Fri, 99 Nov 20260 12:00:00 GMT", "{", "[]", "0E-7"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def kind_of(operation: Operation[Any]) -> type:
    return get_origin(operation.result) or operation.result


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Any, Any]:
    """A recorded reply of which some parts are replaced."""
    operation, body = draw(st.sampled_from(RECORDED))
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 4))):
        holder: Any = body
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            inner = holder[place]
            if not isinstance(inner, dict | list) or draw(st.booleans()):
                holder[place] = draw(anything)
                break
            holder = inner
    return operation, body


@settings(max_examples=400, deadline=None)
@given(spoiled())
def test_a_spoiled_reply_costs_only_its_spoiled_parts(case: tuple[Any, Any]) -> None:
    operation, body = case
    text = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    result = result_from_reply(operation, 200, headers, text)
    if operation.result is dict:
        assert json.dumps(result) == json.dumps(json.loads(text))
    else:
        assert result is None or isinstance(result, kind_of(operation) | bytes)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(RECORDED), anything | st.binary())
def test_a_reply_that_is_something_else(case: tuple[Any, Any], body: Any) -> None:
    operation, _ = case
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    result: Any = None
    with contextlib.suppress(UnexpectedReplyError):
        result = result_from_reply(operation, 200, headers, text)
    assert result is None or isinstance(result, kind_of(operation))


@settings(max_examples=300, deadline=None)
@given(st.integers(300, 599), anything | st.binary(), st.text(max_size=20))
def test_an_error_of_any_shape(status: int, body: Any, header: str) -> None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": header, "retry-after": header}
    error = error_from_reply(status, headers, text, operation="GET /info")
    assert isinstance(error, DifyError)
    assert error.status == status
    assert str(error)
