"""A local server with knowledge bases like those that the recordings were made with.

The ids of the recordings are put in their place, so that a recorded request can be sent as it is.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from dify_local import LocalDify
from tests.dify_local.support import pdf

UNKNOWN = "00000000-0000-0000-0000-00000000000"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_AFTER = {
    "datasets": "dataset",
    "documents": "document",
    "segments": "segment",
    "child_chunks": "child",
    "metadata": "field",
}
_AUTOMATIC = {"mode": "automatic"}
_TREE = {
    "mode": "hierarchical",
    "rules": {
        "pre_processing_rules": [],
        "segmentation": {"separator": "\n\n", "max_tokens": 500},
        "parent_mode": "paragraph",
        "subchunk_segmentation": {"separator": "\n", "max_tokens": 200},
    },
}
_PDF = pdf("Neptune is blue")

_CUSTOM = {
    "id": "6e62e63e-47ad-45bc-bf96-18b39106e7bb",
    "mode": "custom",
    "rules": {
        "pre_processing_rules": [{"id": "remove_extra_spaces", "enabled": True}],
        "segmentation": {"separator": "\n", "max_tokens": 100, "chunk_overlap": 0},
        "parent_mode": None,
        "subchunk_segmentation": None,
    },
}

# What the ids in the recordings stand for, where the default of their place will not do.
ROLES = {
    "632d8ced-d9c9-48c5-8d4e-c60b41ad8069": "hq",
    "9bbbf72e-a290-471d-95e2-b92ac891ab76": "economy",
    "ba6a3945-aecd-49ab-b1ef-7b7a32acda3e": "tree",
    "4853de86-7e7f-4594-b28b-9fc0ac064be6": "qa",
    "0a87018e-5056-44a8-a7ab-69b6554b2b6e": "pipeline",
    "3f2203e8-d53d-4e3b-ab5b-4badd4c49463": "bare",
    "fcc0e2af-aaaa-4c30-8d50-d49cbb69a774": "moons",
    "0c4ddf4d-6865-4b10-9699-dc10d4d07eb7": "rocks v2",
    "fbe08b21-20d0-4317-9d70-5ee3a431320c": "spare",
    "5f69f0cc-91ea-4d06-8c5f-c475f378e908": "spare",
    "629f1534-fd32-4fd1-80a1-e124b30c4828": "spare",
    "ca39752d-733a-4c59-9eff-956cb4aa4c1c": "last",
    "979ba441-2f86-47e8-85dc-1e7d11019674": "spare",
    "77603ca7-a392-42d0-b28a-1cfbe4423f19": "broken.pdf",
    "116ac179-87dc-4843-a328-27dc707ea074": "table.csv",
    "3da9f74d-87ec-4a93-99b0-8d43593322cf": "paper.pdf",
    "2acd9f52-b64a-430d-9389-aece04569938": "piped",
    "fd85a326-7e3a-4a80-b3af-0b5f053fcedf": "topic",
    "9e10a21d-ed41-43ee-8196-79c84f74f3e2": "year",
    "351c7b2c-5922-4af6-b72b-c310b78b74c2": "seen",
    "4e91a070-bc1d-4dd5-83e1-c4ffcef7cada": "tag",
    "fb5c6915-22e2-4ab4-a9d1-2ea632c5dcb5": "second tag",
    "e74594a2-ff9f-47f4-9e3c-3b190657075b": "piped file",
}


class World:
    """A server whose knowledge bases can be put back to how they were.

    Attributes:
        server: The server.
        ids: Local ids by role; `DATASET:document` is a dataset's default document, and so on.
    """

    def __init__(self, server: LocalDify, database: Path) -> None:
        self.server = server
        self.ids: dict[str, str] = {}
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {server.dataset_key}"}, verify=False
        )
        self._database = sqlite3.connect(database)
        self._build()
        self._snapshot = sqlite3.connect(":memory:")
        self._database.backup(self._snapshot)

    def close(self) -> None:
        """Close what the world has opened."""
        self.client.close()
        self._snapshot.close()
        self._database.close()

    def restore(self) -> None:
        """Put everything back to how it was built."""
        self._snapshot.backup(self._database)

    def post(self, path: str, body: object, method: str = "POST") -> Any:
        """Send a request that must succeed."""
        response = self.client.request(method, f"{self.server.base_url}{path}", json=body)
        assert response.is_success, response.text
        return response.json() if response.content.strip() else None

    def upload(self, path: str, name: str, content: bytes, data: Mapping[str, Any]) -> Any:
        """Upload a file, which must succeed."""
        response = self.client.post(
            f"{self.server.base_url}{path}",
            data={"data": json.dumps(data)},
            files={"file": (name, content, "text/plain")},
        )
        assert response.is_success, response.text
        return response.json()

    def edit(self, table: str, record_id: str, **values: object) -> None:
        """Change a record behind the server's back, where no request can."""
        for name, value in values.items():
            self._database.execute(
                f"UPDATE {table} SET body = json_set(body, '$.{name}', json(?)) WHERE id = ?",
                (json.dumps(value), record_id),
            )
        if table == "documents":
            self._database.execute(
                "UPDATE documents SET available = json_extract(body, '$.enabled') AND NOT "
                "json_extract(body, '$.archived') AND "
                "json_extract(body, '$.indexing_status') = 'completed'"
            )
        self._database.commit()

    def forget(self, table: str, name: str) -> None:
        """Delete the records of a name, so that it can be given again."""
        named = "name" if table != "metadata_fields" else "json_extract(body, '$.name')"
        self._database.execute(f"DELETE FROM {table} WHERE {named} = ?", (name,))
        self._database.commit()

    def _dataset(self, role: str, name: str, technique: str | None) -> str:
        body = {"name": name, "indexing_technique": technique} if technique else {"name": name}
        made = self.post("/datasets", body)
        self.ids[role] = made["id"]
        return f"/datasets/{made['id']}"

    def _text(self, role: str, name: str, text: str, **more: object) -> str:
        body = {
            "name": name,
            "text": text,
            "indexing_technique": "economy" if role == "economy" else "high_quality",
            "process_rule": _AUTOMATIC,
            **more,
        }
        path = f"/datasets/{self.ids[role]}/document/create-by-text"
        return self._made(role, name, self.post(path, body))

    def _file(self, role: str, name: str, content: bytes) -> str:
        path = f"/datasets/{self.ids[role]}/document/create-by-file"
        made = self.upload(path, name, content, {"process_rule": _AUTOMATIC})
        return self._made(role, name, made)

    def _made(self, role: str, name: str, made: Any) -> str:
        document = str(made["document"]["id"])
        self.ids[name] = document
        self.ids.setdefault(f"{role}:document", document)
        self.ids.setdefault(f"{role}:batch", made["batch"])
        self.ids[f"{name}:batch"] = made["batch"]
        self._settle(f"/datasets/{self.ids[role]}/documents/{made['batch']}/indexing-status")
        path = f"/datasets/{self.ids[role]}/documents/{document}/segments"
        segments = self.client.get(f"{self.server.base_url}{path}").json()["data"]
        if segments:
            self.ids.setdefault(f"{role}:segment", segments[0]["id"])
            if segments[0]["child_chunks"]:
                self.ids.setdefault(f"{role}:child", segments[0]["child_chunks"][0]["id"])
        return document

    def _settle(self, path: str) -> None:
        for _ in range(500):
            response = self.client.get(f"{self.server.base_url}{path}")
            assert response.is_success, response.text
            data = response.json()["data"]
            if all(one["indexing_status"] in {"completed", "error"} for one in data):
                return
        raise AssertionError("the documents are not indexed")

    def _build(self) -> None:
        hq = self._dataset("hq", "Planets HQ 162200", "high_quality")
        self._text("hq", "rings", "Saturn has bright rings of ice. Jupiter has faint rings.")
        self._text("hq", "moons", "Saturn has the most moons, 274. Mars has two moons.")
        self._text("hq", "rocks v2", "Mercury, Venus, Earth and Mars are rocky planets.")
        self._text("hq", "spare", "Archive me.")
        self._text("hq", "last", "Delete me.")
        self._dataset("economy", "Manuals 162200", "economy")
        self._text("economy", "manual", "Press the red button to start the machine.")
        self._file("economy", "table.csv", b"planet,moons\nMars,2\nSaturn,274\n")
        self._file("economy", "paper.pdf", _PDF)
        self._file("economy", "broken.pdf", b"this is no pdf")
        self._dataset("tree", "Tree before", "high_quality")
        tree = "Mars is red.\nMars has two moons.\n\nVenus is hot.\nVenus has no moon."
        self._text("tree", "tree text", tree, doc_form="hierarchical_model", process_rule=_TREE)
        self._dataset("qa", "QA before", "high_quality")
        self._text("qa", "qa text", "The sun is a star.", doc_form="qa_model")
        self._dataset("bare", "Bare before", None)
        self._segments(f"{hq}/documents/{self.ids['rings']}/segments")
        self._metadata(hq)
        self._tags()
        self._pipeline()

    def _segments(self, path: str) -> None:
        contents = [{"content": "Rings of ice.", "keywords": ["ice"]}, {"content": "Thin rings."}]
        made = self.post(path, {"segments": contents})["data"]
        self.ids["hq:segment"] = made[0]["id"]

    def _metadata(self, dataset: str) -> None:
        kinds = {"topic": "string", "year": "number", "seen": "time", "temporary": "string"}
        for name, kind in kinds.items():
            self.ids[name] = self.post(f"{dataset}/metadata", {"name": name, "type": kind})["id"]
        self.ids["hq:field"] = self.ids["temporary"]
        self.post(f"{dataset}/metadata/built-in/enable", None)
        rows = [
            ("rings", "saturn rings", 1610, 1700000000),
            ("moons", "moons", 1877, 1710000000),
            ("rocks v2", "rocky planets", 2006, 1720000000),
            ("spare", None, None, None),
            ("last", None, None, None),
        ]
        operations = [
            {
                "document_id": self.ids[name],
                "metadata_list": [
                    {"id": self.ids[field], "name": field, "value": value}
                    for field, value in zip(("topic", "year", "seen"), values, strict=True)
                ],
            }
            for name, *values in rows
        ]
        self.post(f"{dataset}/documents/metadata", {"operation_data": operations})

    def _tags(self) -> None:
        for role, name in [("tag", "science 162655"), ("second tag", "été 162655")]:
            self.ids[role] = self.post("/datasets/tags", {"name": name})["id"]
        tags = [self.ids["tag"], self.ids["second tag"]]
        self.post("/datasets/tags/binding", {"tag_ids": tags, "target_id": self.ids["hq"]})

    def _pipeline(self) -> None:
        self.ids["pipeline"] = self.server.pipeline_dataset_id
        made = self.upload("/datasets/pipeline/file-upload", "pipe.txt", b"Pipeline text.", {})
        self.ids["piped file"] = made["id"]
        body = {
            "inputs": {"note": "hello"},
            "datasource_type": "local_file",
            "datasource_info_list": [{"reference": made["id"]}],
            "start_node_id": "file",
            "is_published": True,
            "response_mode": "blocking",
        }
        path = f"/datasets/{self.ids['pipeline']}"
        run = self.post(f"{path}/pipeline/run", body)
        self.ids["piped"] = self.ids["pipeline:document"] = run["documents"][0]["id"]
        self._settle(f"{path}/documents/{run['batch']}/indexing-status")

    def local(self, target: str) -> str:
        """Return a recorded path with local ids, chosen by their roles and places."""
        path, _, query = target.partition("?")
        parts = path.split("/")
        dataset = ROLES.get(next(iter(UUID.findall(path)), ""), "hq")
        for index, (before, part) in enumerate(pairwise(parts), start=1):
            if part.startswith(UNKNOWN) or before not in _AFTER:
                continue
            if UUID.fullmatch(part):
                parts[index] = self._id(part, dataset, _AFTER[before])
            elif before == "documents" and re.fullmatch(r"\d{20}", part):
                parts[index] = self.ids[f"{dataset}:batch"]
        return "/".join(parts) + (f"?{self.local_body(query)}" if query else "")

    def _id(self, recorded: str, dataset: str, kind: str) -> str:
        if kind == "dataset":
            return self.ids[dataset]
        role = ROLES.get(recorded)
        if role in self.ids:
            return self.ids[role]
        return self.ids.get(f"{dataset}:{kind}") or self.ids.get(f"hq:{kind}", recorded)

    def local_body(self, text: str) -> str:
        """Return a recorded body with local ids; ids without a role are those of documents."""

        def replaced(match: re.Match[str]) -> str:
            if match[0].startswith(UNKNOWN):
                return match[0]
            return self.ids.get(ROLES.get(match[0], "rings"), match[0])

        # The model that puts results in order has another name here.
        return UUID.sub(replaced, text).replace("rerank-fake", "rerank-v3.5")

    def prepare(self, name: str, method: str, path: str, body: Any, status: int) -> None:
        """Bring about what a recorded exchange found, as its name and reply tell."""
        ids = self.ids
        if "archived" in name and "list" not in name:
            self.edit("documents", ids["spare"], archived=True)
        if name.startswith(("doc_", "seg_create")) and ("disabled" in name or "un_arch" in name):
            self.edit("documents", ids["spare"], enabled="disabled" not in name)
        if name.startswith("seg_") and re.search("get_disabled|while_disabled|enable$", name):
            segment = ids["hq:segment"]
            self.edit("segments", segment, enabled=False, disabled_at=1)
        if re.search("^doc_get_(all|plain|metadata_without)$", name):
            self.edit("datasets", ids["hq"], process_rule=_CUSTOM)
        if "api_disabled" in name:
            self.edit("datasets", ids["economy"], enable_api=False)
        if re.search("busy|early|while_indexing|two_documents", name) and "delete" not in name:
            for document in ("spare", "last", "rings"):
                self.edit("documents", ids[document], indexing_status="splitting")
        if name == "doc_status_enable_too_soon":
            self.edit("documents", ids["spare"], locked_until=time.time() + 60)
        if status < 300 and method == "POST" and isinstance(body, dict) and "name" in body:
            tables = {"/datasets": "datasets", "/datasets/tags": "tags"}
            table = "metadata_fields" if path.endswith("/metadata") else tables.get(path)
            if table:
                self.forget(table, body["name"])
        if name == "tag_update":
            self.forget("tags", body["name"])
