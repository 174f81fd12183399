"""Speech, synthetic and short: a tone instead of a voice, in the shapes of text-to-audio."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
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


def speech_before_the_end(envelope: JsonObject, text: str) -> list[JsonObject]:
    """Return the first frames that read an answer aloud; they come while it is still streamed.

    Args:
        envelope: The keys every frame of the stream has.
        text: What is said; nothing is said of an empty text.
    """
    pieces = _pieces(text)
    return [_frame(envelope, piece) for piece in pieces[: len(pieces) // 2]]


def speech_after_the_end(
    envelope: JsonObject, text: str, *, whole: bool = False
) -> list[JsonObject]:
    """Return the other frames that read an answer aloud, and the one that ends them.

    Args:
        envelope: The keys every frame of the stream has.
        text: What is said.
        whole: Whether none has come before.
    """
    pieces = _pieces(text)
    rest = pieces if whole else pieces[len(pieces) // 2 :]
    ending = {**envelope, "event": "tts_message_end", "audio": ""}
    return [*(_frame(envelope, piece) for piece in rest), ending]


def _pieces(text: str) -> list[bytes]:
    sound = audio() if text else b""
    return [sound[start : start + _PIECE] for start in range(0, len(sound), _PIECE)]


def _frame(envelope: JsonObject, piece: bytes) -> JsonObject:
    return {**envelope, "event": "tts_message", "audio": base64.b64encode(piece).decode()}
