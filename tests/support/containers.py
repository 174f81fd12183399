"""How a recording of each container begins, by its MIME type."""

from __future__ import annotations

BEGINNINGS = {
    "audio/aac": b"\xff\xf1\x50\x80",
    "audio/flac": b"fLaC\x00\x00",
    "audio/mp4": b"\x00\x00\x00\x20ftypM4A ",
    "audio/mpeg": b"ID3\x04\x00",
    "audio/ogg": b"OggS\x00\x02",
    "audio/wav": b"RIFF\x24\x00\x00\x00WAVEfmt ",
    "audio/webm": b"\x1a\x45\xdf\xa3\x9f",
}
