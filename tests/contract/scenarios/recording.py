"""What goes into a cassette, what is taken out of it, and what finds an exchange again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from vcr.request import Request

EXAMPLE = "http://dify.example"
KEPT_HEADERS = {"content-type", "x-version", "retry-after", "location"}

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_TOKEN = re.compile(r"(/form/human_input/)[^/?]+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_SIGNED = re.compile(r"""(?:\b|(?<=u0026))(timestamp|nonce|sign)=[\w.~%+/-]*=*""")
_TENANT = re.compile(r"""(\\*"tenant_id\\*"\s*:\s*\\*")([^"\\]+)""")
NO_TENANT = "00000000-0000-4000-8000-000000000000"
_STAND_INS = {"timestamp": "1700000000", "nonce": "nonce", "sign": "sign"}
_PERSON = re.compile(r'("(?:author_name|maintainer)"\s*:\s*)"[^"]*"')


class Scrubber:
    """Takes out of exchanges what is nobody's business: address, keys, people, tenants, signatures.

    Args:
        base_url: Of the server that is recorded.
        keys: Its keys, each with the name that stands for it.
    """

    def __init__(self, base_url: str, keys: Mapping[str, str]) -> None:
        parts = urlsplit(base_url.rstrip("/"))
        self._addresses = {
            form(address): form(example)
            for form in (str, _escaped, _quoted)
            for scheme in ("http", "https")
            for address, example in (
                (f"{scheme}://{parts.netloc}{parts.path}", f"{EXAMPLE}/v1"),
                (f"{scheme}://{parts.netloc}", EXAMPLE),
            )
        }
        if "." in (parts.hostname or ""):  # also where it stands alone; "localhost" may be a word
            self._addresses[parts.netloc] = urlsplit(EXAMPLE).netloc
        self._keys = keys

    def text(self, text: str) -> str:
        for address, example in self._addresses.items():
            text = text.replace(address, example)
        text = mask_server(text)
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


def mask_server(text: str) -> str:
    """Put stand-ins in place of signatures of files' addresses, and of the tenant."""
    for tenant in {found for _, found in _TENANT.findall(text)}:
        text = text.replace(tenant, NO_TENANT)
    return _SIGNED.sub(lambda found: f"{found[1]}={_STAND_INS[found[1]]}", text)


def _escaped(address: str) -> str:
    return address.replace("/", "\\/")  # as some JSON has it


def _quoted(address: str) -> str:
    return quote(address, safe="")


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
