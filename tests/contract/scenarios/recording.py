"""What goes into a cassette, what is taken out of it, and what finds an exchange again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from vcr.request import Request

EXAMPLE = "http://dify.example"
KEPT_HEADERS = {"content-type", "x-version", "retry-after", "location"}

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_TOKEN = re.compile(r"(/form/human_input/)[^/?]+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PERSON = re.compile(r'("(?:author_name|maintainer)"\s*:\s*)"[^"]*"')


class Scrubber:
    """Takes out of exchanges what is nobody's business: address, keys, people.

    Args:
        base_url: Of the server that is recorded.
        keys: Its keys, each with the name that stands for it.
    """

    def __init__(self, base_url: str, keys: Mapping[str, str]) -> None:
        parts = urlsplit(base_url)
        self._base_url = base_url.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._keys = keys

    def text(self, text: str) -> str:
        text = text.replace(self._base_url, f"{EXAMPLE}/v1").replace(self._origin, EXAMPLE)
        for key, name in self._keys.items():
            text = text.replace(key, name)
        text = _EMAIL.sub("person@example.com", text)
        return _PERSON.sub(r'\1"Author"', text)

    def request(self, request: Request) -> Request:
        request.uri = self.text(request.uri)
        request.headers = {
            name: self.text(value if isinstance(value, str) else value.decode())
            for name, value in request.headers.items()
            if name.lower() in ("authorization", "content-type")
        }
        return request

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        body = response["body"]["string"]
        try:
            text = body if isinstance(body, str) else body.decode()
        except UnicodeDecodeError:
            pass  # speech, images
        else:
            response["body"]["string"] = self.text(text).encode()
        response["headers"] = {
            name.lower(): value if isinstance(value, list) else [value]
            for name, value in response["headers"].items()
            if name.lower() in KEPT_HEADERS
        }
        return response


def same_endpoint(one: Request, other: Request) -> None:
    """Method and path, whatever the ids in it."""
    assert (one.method, _without_ids(one.path)) == (other.method, _without_ids(other.path))


def same_fields(one: Request, other: Request) -> None:
    """The fields that make it another request; the words of a question do not."""
    assert _fields(one) == _fields(other)


def _without_ids(path: str) -> str:
    return _TOKEN.sub(r"\1{form_token}", _UUID.sub("{id}", path))


def _fields(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        return {}  # a form
    return {
        "continues": bool(body.get("conversation_id")),
        "rating": body.get("rating"),
    }
