"""What an app says has the type of its container."""

from __future__ import annotations

import pytest

from dify_api import audio


@pytest.mark.parametrize(
    ("begin", "mime_type"),
    [
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04\x00", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf3\x44\xc4", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff\xf9\x50\x80", "audio/aac"),
        (b"OggS\x00\x02", "audio/ogg"),
        (b"fLaC\x00\x00", "audio/flac"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f", "audio/webm"),
        (b"", "audio/mpeg"),
        (b"\xff", "audio/mpeg"),
        (b"something else", "audio/mpeg"),
    ],
)
def test_the_type_of_speech(begin: bytes, mime_type: str) -> None:
    assert audio.type_of_speech(begin) == mime_type
