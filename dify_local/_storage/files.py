"""Files: uploaded by people, made by answers, and the four shapes the API shows them in."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._protocol.fields import known
from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject, is_uuid, new_id, now, stable_id
from dify_local._storage.store import EndUser, Store, body, dump

FILE_TYPES = ("image", "document", "audio", "video", "custom")
TENANT_ID = stable_id("tenant")
_FORBIDDEN = set('/\\:*?"<>|')


@dataclass
class Uploads:
    """The files of a server.

    Args:
        store: Where they are kept.
        address: Scheme and host of the server, for the URLs of files.
        release: The release whose shapes are shown.
    """

    store: Store
    address: str
    release: Release

    def add(
        self, app_id: str, end_user: EndUser, name: str, mime_type: str, content: bytes
    ) -> JsonObject:
        """Keep an uploaded file and return what `/files/upload` answers.

        Raises:
            ApiError: The name has a character that file names may not have.
        """
        if _FORBIDDEN.intersection(name):
            raise invalid_param("Filename contains invalid characters")
        return self.keep(app_id, end_user, name, mime_type, content)

    def keep(
        self,
        app_id: str,
        end_user: EndUser,
        name: str,
        mime_type: str,
        content: bytes,
        *,
        extension: str | None = None,
    ) -> JsonObject:
        """Keep a file of any name, as `add` does; a document's name may be a path."""
        extension = extension or PurePath(name).suffix.lstrip(".").lower()
        file_id = new_id()
        record: JsonObject = {
            "id": file_id,
            "reference": None,
            "name": name,
            "size": len(content),
            "extension": extension,
            "mime_type": mime_type,
            "created_by": end_user.id,
            "created_at": now(),
            "preview_url": None,
            "source_url": self.url(file_id),
            "original_url": None,
            "user_id": None,
            "tenant_id": TENANT_ID,
            "conversation_id": None,
            "file_key": None,
        }
        self.store.execute(
            "INSERT INTO files VALUES (?, ?, ?, NULL, ?, ?)",
            file_id, app_id, end_user.id, content, dump(record),
        )  # fmt: skip
        return known(self.release, "upload", record)

    def make(
        self, app_id: str, end_user: EndUser, name: str, mime_type: str, content: bytes
    ) -> JsonObject:
        """Keep a file that an answer brings, and return it as `/messages` shows it."""
        record = self.add(app_id, end_user, name, mime_type, content)
        return {
            "id": record["id"],
            "filename": record["name"],
            "type": file_type(mime_type),
            "url": self.url(record["id"]),
            "mime_type": mime_type,
            "size": record["size"],
            "transfer_method": "tool_file",
            "belongs_to": "assistant",
            "upload_file_id": record["id"],
        }

    def url(self, file_id: str) -> str:
        """Return a signed address of a file; the signature is for show."""
        return f"{self.address}/files/{file_id}/file-preview?timestamp={now()}&nonce=0&sign=local"

    def attach(
        self, app_id: str, end_user: EndUser, given: object, message_id: str
    ) -> list[JsonObject]:
        """Check the `files` of a request and return them as `message_end.files` shows them.

        Raises:
            ApiError: A file is unknown, somebody else's, or of no known type.
        """
        entries = given if isinstance(given, list) else []
        return [
            self._resolve(app_id, end_user, entry, message_id)
            for entry in entries
            if isinstance(entry, dict) and entry.get("transfer_method")
        ]

    def _resolve(
        self, app_id: str, end_user: EndUser, entry: JsonObject, message_id: str
    ) -> JsonObject:
        kind = entry.get("type")
        if kind not in FILE_TYPES:
            raise invalid_param(f"'{kind}' is not a valid FileType")
        if entry["transfer_method"] == "remote_url":
            return _remote(entry)
        file_id = entry.get("upload_file_id")
        row = self.store.row(
            "SELECT body FROM files WHERE id = ? AND (? OR (app_id = ? AND end_user_id = ?))",
            # Files were everybody's before 1.14.
            file_id, not self.release.since(1, 14), app_id, end_user.id,
        )  # fmt: skip
        if row is None or not is_uuid(file_id):
            raise invalid_param("Invalid upload file")
        self.store.execute("UPDATE files SET message_id = ? WHERE id = ?", message_id, file_id)
        return self._local(body(row), kind)

    def file_of_form(self, entry: JsonObject) -> JsonObject:
        """Return the file that a reference in a form names, as workflows hold it.

        Whoever knows its id may name it, unlike in a question.

        Raises:
            ApiError: There is no such file, or it is of another type.
        """
        if entry.get("transfer_method") == "remote_url":
            return self.file_variable(_remote(entry))
        row = self.store.row("SELECT body FROM files WHERE id = ?", entry.get("upload_file_id"))
        if row is None:
            raise invalid_param("Invalid upload file")
        record, kind = body(row), entry.get("type")
        if kind not in {file_type(record["mime_type"]), "custom"}:
            raise invalid_param(
                "Detected file type does not match the specified type. Please verify the file."
            )
        return self.file_variable(self._local(record, kind))

    def _local(self, record: JsonObject, kind: object) -> JsonObject:
        return {
            "related_id": new_id(),
            "extension": f".{record['extension']}",
            "filename": record["name"],
            "size": record["size"],
            "mime_type": record["mime_type"],
            "transfer_method": "local_file",
            "type": kind,
            "url": self.url(record["id"]),
            "upload_file_id": record["id"],
            "remote_url": "",
        }

    @staticmethod
    def file_of_answer(made: JsonObject) -> JsonObject:
        """Return a file of an answer as `message_end.files` shows it."""
        return {
            "related_id": made["id"],
            "extension": PurePath(made["filename"]).suffix,
            "filename": made["filename"],
            "size": made["size"],
            "mime_type": made["mime_type"],
            "transfer_method": "tool_file",
            "type": made["type"],
            "url": made["url"],
            "upload_file_id": made["upload_file_id"],
            "remote_url": "",
        }

    def file_variable(self, shown: JsonObject) -> JsonObject:
        """Return a file as workflows hold it: the file object with Dify's model identity."""
        owner: JsonObject = {"tenant_id": TENANT_ID}
        if self.release.since(1, 14):
            kept = shown["upload_file_id"]
            owner = {"reference": f"dify-file-ref:{kept}" if kept else None}
        return {
            "dify_model_identity": "__dify__file__",
            "id": None,
            "type": shown["type"],
            "transfer_method": shown["transfer_method"],
            "remote_url": shown["remote_url"],
            **owner,
            "filename": shown["filename"],
            "extension": shown["extension"],
            "mime_type": shown["mime_type"],
            "size": shown["size"],
            "related_id": shown["upload_file_id"],
            "url": shown["url"],
        }

    def message_file(self, shown: JsonObject) -> JsonObject:
        """Return a file of a question as `/messages` shows it."""
        return {
            "id": shown["related_id"],
            "filename": shown["filename"],
            "type": shown["type"],
            "url": shown["url"],
            "mime_type": shown["mime_type"],
            "size": shown["size"],
            "transfer_method": shown["transfer_method"],
            "belongs_to": "user",
            "upload_file_id": shown["upload_file_id"],
        }

    def images(self, files: Iterable[JsonObject]) -> list[str]:
        """Return the URLs of the images among some files: `data:` ones, where they are kept here.

        Args:
            files: What `attach` has returned.
        """
        return [self._image(shown) for shown in files if shown["type"] == "image"]

    def _image(self, shown: JsonObject) -> str:
        if shown["transfer_method"] == "remote_url":
            return str(shown["url"])
        _, content, _, _ = self.content(shown["upload_file_id"])
        return f"data:{shown['mime_type']};base64,{base64.b64encode(content).decode()}"

    def content(self, file_id: str) -> tuple[JsonObject, bytes, str, str | None]:
        """Return record, bytes, app id and message id of a file.

        Raises:
            ApiError: There is no such file.
        """
        row = self.store.row("SELECT * FROM files WHERE id = ?", file_id)
        if row is None:
            raise ApiError(404, "file_not_found", "File not found in message context")
        return body(row), bytes(row["content"]), row["app_id"], row["message_id"]


def file_type(mime_type: str) -> str:
    """Return Dify's type for a media type.

    Example:
        >>> file_type("image/png"), file_type("text/plain")
        ('image', 'document')
    """
    main = mime_type.partition("/")[0]
    return main if main in FILE_TYPES else "document"


def _remote(entry: JsonObject) -> JsonObject:
    url = entry.get("url") or entry.get("remote_url")
    if not url:
        raise invalid_param("Invalid file url")
    name = PurePath(str(url).partition("?")[0]).name
    return {
        "related_id": new_id(),
        "extension": PurePath(name).suffix,
        "filename": name,
        "size": -1,
        "mime_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "transfer_method": "remote_url",
        "type": entry["type"],
        "url": url,
        "upload_file_id": None,
        "remote_url": url,
    }
