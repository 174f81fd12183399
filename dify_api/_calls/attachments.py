"""Files that go along with a query: what must be uploaded first, and how they are referred to."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from dify_api._calls.flows import Flow
from dify_api.endpoints import files
from dify_api.operation import Operation

FileType = Literal["image", "document", "audio", "video", "custom"]


@dataclass(frozen=True)
class Attachment:
    """A file of a message: exactly one of `url`, `content` and `file_id` is set.

    Attributes:
        type: What Dify shall take it for.
        url: Public address that the server fetches itself.
        content: Bytes, to be uploaded.
        file_id: Id of an earlier upload by the same user.
        mime_type: Of `content`.
        name: File name of `content`.
    """

    type: FileType
    url: str | None = None
    content: bytes | None = field(default=None, repr=False)
    file_id: str | None = None
    mime_type: str | None = None
    name: str | None = None

    @property
    def identity(self) -> str:
        """The same for the same file, so that it is uploaded once."""
        if self.content is not None:
            return hashlib.sha256(self.content).hexdigest()
        return self.url or self.file_id or ""

    def upload(self, user: str) -> Operation[files.UploadedFile] | None:
        """The upload that must come first; None where the file need not be uploaded."""
        if self.content is None:
            return None
        mime_type = self.mime_type or "application/octet-stream"
        extension = mimetypes.guess_extension(mime_type) or ".bin"
        name = self.name or f"{self.type}{extension}"
        return files.upload(self.content, user=user, name=name, mime_type=mime_type)

    def reference(self, uploaded_id: str | None = None) -> dict[str, Any]:
        """The entry of `files`, after the upload where there was one."""
        if self.url is not None:
            return {"type": self.type, "transfer_method": "remote_url", "url": self.url}
        return {
            "type": self.type,
            "transfer_method": "local_file",
            "upload_file_id": uploaded_id or self.file_id,
        }


def references(attachments: Iterable[Attachment], user: str) -> Flow[list[dict[str, Any]]]:
    """The entries of `files` for attachments, each file uploaded once where it must be."""
    entries: dict[str, dict[str, Any]] = {}
    for attachment in attachments:
        if attachment.identity not in entries:
            upload = attachment.upload(user)
            uploaded = (yield upload) if upload else None
            entries[attachment.identity] = attachment.reference(uploaded.id if uploaded else None)
    return list(entries.values())


def file_type(mime_type: str | None) -> FileType:
    """The type that Dify gives a file of this content type."""
    kind = (mime_type or "").partition("/")[0]
    if kind == "image":
        return "image"
    if kind == "audio":
        return "audio"
    return "video" if kind == "video" else "document"
