"""What a cassette keeps of a live server's exchanges."""

from __future__ import annotations

import pytest
from vcr.request import Request

from tests.contract.scenarios.recording import Scrubber, same_endpoint, same_fields

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
