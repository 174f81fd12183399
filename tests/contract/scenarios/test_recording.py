"""What a cassette keeps of a live server's exchanges."""

from __future__ import annotations

import json

import pytest
from vcr.request import Request

from tests.contract.scenarios.recording import (
    NO_TENANT,
    Scrubber,
    mask_server,
    same_endpoint,
    same_fields,
)
from tests.support.cassettes import ROOT

SCRUBBER = Scrubber("https://dify.mine.org/api/v1/", {"app-Secret1": "app-chat"})
ID, OTHER_ID = "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10", "6f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a11"


def request(method: str, path: str, body: bytes = b"", **headers: str) -> Request:
    return Request(method, f"https://dify.mine.org/api/v1{path}", body, headers)


def test_addresses_keys_and_people_stay_out() -> None:
    sent = SCRUBBER.request(
        request("GET", "/info", Authorization="Bearer app-Secret1", Cookie="session=1")
    )
    assert sent.uri == "http://dify.example/v1/info"
    assert dict(sent.headers) == {"Authorization": "Bearer app-chat"}
    got = SCRUBBER.response(
        {
            "status": {"code": 200, "message": "OK"},
            "headers": {"X-Version": ["1.16.0"], "Date": ["today"], "Set-Cookie": ["session=1"]},
            "body": {
                "string": b'{"author_name": "Ann", "email": "ann@mine.org", '
                b'"url": "https://dify.mine.org/files/1", "answer": "Hi"}'
            },
        }
    )
    assert got["headers"] == {"x-version": ["1.16.0"]}
    assert got["body"]["string"] == (
        b'{"author_name": "Author", "email": "person@example.com", '
        b'"url": "http://dify.example/files/1", "answer": "Hi"}'
    )


def test_addresses_stay_out_in_every_shape() -> None:
    told = (
        r'{"a": "https:\/\/dify.mine.org\/api\/v1\/x", "b": "http://dify.mine.org/files/1", '
        r'"c": "next=https%3A%2F%2Fdify.mine.org%2Fapi%2Fv1", "d": "ask dify.mine.org"}'
    )
    assert SCRUBBER.text(told) == (
        r'{"a": "http:\/\/dify.example\/v1\/x", "b": "http://dify.example/files/1", '
        r'"c": "next=http%3A%2F%2Fdify.example%2Fv1", "d": "ask dify.example"}'
    )


def test_signatures_and_tenants_stay_out() -> None:
    told = (
        f'{{"tenant_id": "{ID}", "path": "tools/{ID}/x", "inner": "{{\\"tenant_id\\": '
        f'\\"{OTHER_ID}\\"}}", "url": "/files/1/file-preview?timestamp=1795293994&nonce=38a&'
        'sign=guN4W_-7%3D", "other": "/x?timestamp=1795293994\\u0026nonce=38a\\u0026sign=gu="}'
    )
    masked = SCRUBBER.text(told)
    assert json.loads(masked) == {
        "tenant_id": NO_TENANT,
        "path": f"tools/{NO_TENANT}/x",
        "inner": f'{{"tenant_id": "{NO_TENANT}"}}',
        "url": "/files/1/file-preview?timestamp=1700000000&nonce=nonce&sign=sign",
        "other": "/x?timestamp=1700000000&nonce=nonce&sign=sign",
    }
    assert SCRUBBER.text(masked) == masked


def test_no_cassette_holds_a_signature_or_a_tenant() -> None:
    for file in ROOT.glob("dify-*/**/*.yaml"):
        text = file.read_text()
        assert mask_server(text) == text, file


def test_speech_is_kept_as_it_is() -> None:
    sound = b"\xff\xfb ann@mine.org"
    got = SCRUBBER.response({"headers": {}, "body": {"string": sound}})
    assert got["body"]["string"] == sound


def test_an_exchange_is_found_whatever_its_ids_and_words() -> None:
    path = "/messages/{}/feedbacks?user={}"
    one = request("POST", path.format(ID, "ann"), b'{"query": "a", "rating": "like"}')
    two = request("POST", path.format(OTHER_ID, "bob"), b'{"query": "b", "rating": "like"}')
    same_endpoint(one, two)
    same_fields(one, two)
    same_endpoint(request("GET", "/form/human_input/abc"), request("GET", "/form/human_input/xyz"))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/messages/{ID}/feedbacks", b'{"rating": "like"}'),
        ("POST", f"/messages/{ID}", b'{"rating": "like"}'),
        ("POST", f"/messages/{ID}/feedbacks", b'{"rating": null}'),
        ("POST", f"/messages/{ID}/feedbacks", b'{"rating": "like", "conversation_id": "c"}'),
    ],
)
def test_another_request_is_another(method: str, path: str, body: bytes) -> None:
    one = request("POST", f"/messages/{ID}/feedbacks", b'{"rating": "like"}')
    with pytest.raises(AssertionError):
        for same in (same_endpoint, same_fields):
            same(one, request(method, path, body))
