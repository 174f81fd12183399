"""Files: upload, download, and the references by which messages and inputs name them."""

from __future__ import annotations

import mimetypes
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from urllib.parse import urlsplit

from dify_api.models import Model, Timestamp
from dify_api.operation import FilePart, Operation, path, require, require_uuid

FileType = Literal["image", "document", "audio", "video", "custom"]
File = str | Path | bytes | IO[bytes]
"""A file to send: a path, its bytes, or an open binary file."""

_EXTENSIONS: dict[FileType, str] = {  # as servers have them
    "image": "jpg jpeg png webp gif svg",
    "video": "mp4 mov mpeg webm",
    "audio": "mp3 m4a wav amr mpga",
    "document": (
        "txt markdown md mdx pdf html htm xlsx xls vtt properties doc docx csv eml msg "
        "pptx ppt xml epub"
    ),
}
_TYPE_OF_EXTENSION: dict[str, FileType] = {
    extension: file_type
    for file_type, extensions in _EXTENSIONS.items()
    for extension in extensions.split()
}
_TYPE_OF_MEDIA: dict[str, FileType] = {"image": "image", "audio": "audio", "video": "video"}


class UploadedFile(Model):
    """A file on the server, for the user who uploaded it."""

    id: str = ""
    name: str | None = None
    size: int | None = None
    """Bytes."""
    extension: str | None = None
    mime_type: str | None = None
    created_by: str | None = None
    """Id of the end user."""
    created_at: Timestamp | None = None
    preview_url: str | None = None
    source_url: str | None = None
    """Signed and short-lived (1.9.1 and later)."""


def upload(
    file: File, *, user: str, name: str | None = None, mime_type: str | None = None
) -> Operation[UploadedFile]:
    """Upload a file for use in messages and inputs (`POST /files/upload`).

    Args:
        file: A path, bytes, or an open binary file, which is sent as it is read.
        user: The end user; only this user's messages may use the file.
        name: File name with its extension. Default: that of the path or of the open file.
        mime_type: Default: told from the name.

    Raises:
        ValueError: If `user` is empty.

    Example:
        >>> uploaded = client.send(upload("saturn.png", user="ann"))
        >>> client.send(chat.send_message("What is this?", user="ann",
        ...                               files=[reference(uploaded)]))
    """
    require(user, "user", "name the end user whose file this is")
    return Operation(
        "POST",
        "/files/upload",
        UploadedFile,
        form={},
        user=user,
        file=file_part(file, name, mime_type),
    )


def preview(file_id: str, *, user: str, as_attachment: bool = False) -> Operation[bytes]:
    """Download a file that a message of this app uses (`GET /files/{file_id}/preview`).

    Servers since 1.7.2. `client.stream_bytes` brings a large one piece by piece.

    Args:
        file_id: Id of an uploaded file that a message has used.
        user: The end user.
        as_attachment: Ask for it as an attachment, of type application/octet-stream.

    Raises:
        ValueError: If `file_id` is no UUID, or `user` is empty.
    """
    require_uuid(file_id, "file_id")
    require(user, "user", "name the end user who asks")
    return Operation(
        "GET",
        path("/files/{}/preview", file_id),
        bytes,
        query={"as_attachment": as_attachment},
        user=user,
        repeatable=True,
    )


def reference(file: str | UploadedFile, file_type: FileType | None = None) -> dict[str, Any]:
    """Name a file in `files`, in a file input or in a human input form.

    Args:
        file: What `upload` returned, the id of an uploaded file, or a public URL.
        file_type: image, document, audio, video or custom. Default: told from the name;
            workflow apps refuse a type that is not the file's own.

    Raises:
        ValueError: If `file` is empty, or an id alone, which does not tell the type.

    Example:
        >>> reference("https://example.com/saturn.png")
        {'type': 'image', 'transfer_method': 'remote_url', 'url': 'https://example.com/saturn.png'}
    """
    if isinstance(file, UploadedFile):
        told = type_of(file.name or f"file.{file.extension or ''}", file.mime_type)
        return local_file(file.id, file_type or told)
    require(file, "file", "give the id of an uploaded file, or a URL")
    if is_url(file):
        return remote_url(file, file_type or type_of(PurePosixPath(urlsplit(file).path).name))
    if file_type is None:
        raise ValueError(
            "file_type must be given with the id of a file: image, document, audio, video or custom"
        )
    return local_file(file, file_type)


def local_file(file_id: str, file_type: FileType) -> dict[str, Any]:
    """The reference to an uploaded file."""
    return {"type": file_type, "transfer_method": "local_file", "upload_file_id": file_id}


def remote_url(url: str, file_type: FileType) -> dict[str, Any]:
    """The reference to a file that the server fetches."""
    return {"type": file_type, "transfer_method": "remote_url", "url": url}


def is_url(text: str) -> bool:
    """Whether a text is an address that servers fetch."""
    return text.lower().startswith(("http://", "https://"))


def type_of(name: str, mime_type: str | None = None, unknown: FileType = "custom") -> FileType:
    """The type that servers take a file for.

    Args:
        name: Its extension tells.
        mime_type: Tells where the name does not.
        unknown: The type of a file for which neither tells.
    """
    extension = PurePosixPath(name).suffix.lstrip(".").lower()
    if extension in _TYPE_OF_EXTENSION:
        return _TYPE_OF_EXTENSION[extension]
    return _TYPE_OF_MEDIA.get((mime_type or "").split("/")[0], unknown)


def file_part(file: File, name: str | None = None, mime_type: str | None = None) -> FilePart:
    """The multipart part of a file, with the name and the type that servers insist on.

    Args:
        file: A path, bytes, or an open binary file. What can be read only once (a pipe) is read
            here, so that it can be sent again after a failure.
        name: Default: that of the path or of the open file; "file" for bytes.
        mime_type: Default: told from the name, else application/octet-stream.
    """
    content = Path(file) if isinstance(file, str) else file
    if not name:
        source = getattr(content, "name", None)  # of a path and of an open file
        name = Path(source).name if isinstance(source, str) and source else "file"
        if name == "file" and mime_type:
            name += mimetypes.guess_extension(mime_type) or ""
    mime_type = mime_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not isinstance(content, Path | bytes) and not content.seekable():
        content = content.read()
    return FilePart(name, content, mime_type)
