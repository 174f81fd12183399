"""What an app says has the type of its container."""

from __future__ import annotations

import pytest

from dify_api import audio
from tests.support.containers import BEGINNINGS


@pytest.mark.parametrize(
    ("begin", "mime_type"),
    [
        *((begin, mime_type) for mime_type, begin in BEGINNINGS.items()),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf3\x44\xc4", "audio/mpeg"),
        (b"\xff\xf9\x50\x80", "audio/aac"),
        (b"", "audio/mpeg"),
        (b"\xff", "audio/mpeg"),
        (b"something else", "audio/mpeg"),
    ],
)
def test_the_type_of_speech(begin: bytes, mime_type: str) -> None:
    assert audio.type_of_speech(begin) == mime_type
