"""Speech, synthetic and short: a tone instead of a voice, in the shapes of text-to-audio."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
from collections.abc import Iterator
from functools import cache

from dify_local._protocol.values import JsonObject

_RATE = 8000
_PIECE = 4096


@cache
def audio() -> bytes:
    """Return half a second of a 440 Hz tone as a WAV file."""
    samples = (int(8000 * math.sin(2 * math.pi * 440 * i / _RATE)) for i in range(_RATE // 2))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return buffer.getvalue()


def speech_events(envelope: JsonObject, text: str) -> Iterator[JsonObject]:
    """Yield the frames that read an answer aloud, and the one that ends them.

    Args:
        envelope: The keys every frame of the stream has.
        text: What is said; nothing is said of an empty text.
    """
    sound = audio() if text else b""
    for start in range(0, len(sound), _PIECE):
        piece = base64.b64encode(sound[start : start + _PIECE]).decode()
        yield {**envelope, "event": "tts_message", "audio": piece}
    yield {**envelope, "event": "tts_message_end", "audio": ""}
