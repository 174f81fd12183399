"""Files that go along with a query: what must be uploaded first, and how they are referred to."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dify_api._runs.flows import Flow
from dify_api.endpoints import files


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

    type: files.FileType
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

    def reference(self, user: str) -> Flow[dict[str, Any]]:
        """The entry of `files`; the file is uploaded first where it must be."""
        if self.url is not None:
            return files.remote_url(self.url, self.type)
        file_id = self.file_id
        if self.content is not None:
            mime_type = self.mime_type or "application/octet-stream"
            name = self.name or f"{self.type}{mimetypes.guess_extension(mime_type) or '.bin'}"
            uploaded = yield files.upload(self.content, user=user, name=name, mime_type=mime_type)
            file_id = uploaded.id
        return files.local_file(file_id or "", self.type)


def references(attachments: Iterable[Attachment], user: str) -> Flow[list[dict[str, Any]]]:
    """The entries of `files` for attachments, each file uploaded once where it must be."""
    entries: dict[str, dict[str, Any]] = {}
    for attachment in attachments:
        if attachment.identity not in entries:
            entries[attachment.identity] = yield from attachment.reference(user)
    return list(entries.values())
