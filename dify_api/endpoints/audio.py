"""Audio: speech to text and text to speech, with the models that an app names."""

from __future__ import annotations

from dify_api.endpoints.files import File, file_part
from dify_api.models import Model
from dify_api.operation import Operation, require, require_uuid, without_none

_NAMES_OF_SERVERS = {  # servers since 1.2.0 refuse the usual names of what they take
    "audio/mpeg": "audio/mp3",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp4": "audio/m4a",
    "audio/x-m4a": "audio/m4a",
    "audio/mp4a-latm": "audio/m4a",
}


_CONTAINERS = (
    (b"RIFF", 0, "audio/wav"),
    (b"ID3", 0, "audio/mpeg"),
    (b"OggS", 0, "audio/ogg"),
    (b"fLaC", 0, "audio/flac"),
    (b"ftyp", 4, "audio/mp4"),
    (b"\x1a\x45\xdf\xa3", 0, "audio/webm"),
)
"""What a container begins with, and where."""


class Transcript(Model):
    """What was said."""

    text: str = ""


def to_text(
    file: File, *, user: str, name: str | None = None, mime_type: str | None = None
) -> Operation[Transcript]:
    """Write down speech (`POST /audio-to-text`; servers since 0.3.7).

    Args:
        file: A path, bytes, or an open binary file: mp3, m4a, wav or amr, up to 30 MB.
        user: The end user.
        name: File name with its extension. Default: that of the path or of the open file.
        mime_type: Default: told from the name.

    Raises:
        ValueError: If `user` is empty.

    Example:
        >>> client.send(to_text("question.mp3", user="ann")).text
        'How many moons has Saturn?'
    """
    require(user, "user", "name the end user who speaks")
    part = file_part(file, name, mime_type)
    wanted = _NAMES_OF_SERVERS.get(part.mime_type, part.mime_type)
    return Operation(
        "POST",
        "/audio-to-text",
        Transcript,
        form={},
        user=user,
        file=file_part(part.content, part.name, wanted),
    )


def to_speech(
    text: str | None = None,
    *,
    user: str,
    message_id: str | None = None,
    voice: str | None = None,
) -> Operation[bytes]:
    """Read a text or an answer aloud (`POST /text-to-audio`; servers since 0.5.0).

    The result is audio, mp3 with most models; `client.stream_bytes` brings it as it is spoken.

    Args:
        text: What to say.
        user: The end user.
        message_id: The message whose answer to say, instead of `text`.
        voice: Default: the app's.

    Raises:
        ValueError: If there is neither a text nor a message, or `user` is empty.

    Example:
        >>> Path("answer.mp3").write_bytes(
        ...     client.send(to_speech(user="ann", message_id=answer.message_id)))
    """
    if message_id:
        require_uuid(message_id, "message_id")
    else:
        require(text or "", "text", "give a text or a message_id")
    require(user, "user", "name the end user who listens")
    return Operation(
        "POST",
        "/text-to-audio",
        bytes,
        json=without_none({"message_id": message_id, "text": text, "voice": voice}),
        user=user,
    )


def type_of_speech(audio: bytes) -> str:
    """The MIME type of what an app says: that of its container, told by its first bytes.

    Apps do not tell it in `tts_message` events, and servers before 1.17 call all speech
    "audio/mpeg". It knows what a server of 1.17 tells: AAC, FLAC, MP4, MP3, Ogg, WAV, WebM.

    Args:
        audio: The speech, or its beginning.

    Returns:
        The type; "audio/mpeg", what most models speak, where nothing else is recognised.

    Example:
        >>> type_of_speech(client.send(to_speech("Hello", user="ann")))
        'audio/wav'
    """
    for begin, at, mime_type in _CONTAINERS:
        if audio[at : at + len(begin)] == begin:
            return mime_type
    # Frames without a container: both begin with eleven set bits, AAC's have layer 0.
    is_aac = len(audio) > 1 and audio[0] == 0xFF and audio[1] & 0xF6 == 0xF0
    return "audio/aac" if is_aac else "audio/mpeg"
