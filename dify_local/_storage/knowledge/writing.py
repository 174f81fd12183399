"""Writing documents: made new, changed, and then indexed state by state."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._protocol.values import JsonObject, new_id, now
from dify_local._storage.files import Uploads
from dify_local._storage.knowledge import splitting
from dify_local._storage.knowledge.file_text import UnreadableFileError, file_texts, title_of
from dify_local._storage.knowledge.records import (
    ACCOUNT_ID,
    ACCOUNT_NAME,
    ChildChunk,
    Dataset,
    Document,
    IndexingStatus,
    Segment,
)
from dify_local._storage.knowledge.tables import Tables
from dify_local._storage.store import EndUser

ACCOUNT = EndUser(ACCOUNT_ID, "knowledge", ACCOUNT_NAME, 0)

_DIRECTIVE = re.compile(r"\s*/(fail|slow)\b[ \t]*([^\n]*)\n?")
_FAILURE = "The document could not be indexed."
_STATES: tuple[tuple[IndexingStatus, tuple[str, ...]], ...] = (
    ("parsing", ("processing_started_at",)),
    ("splitting", ("parsing_completed_at",)),
    ("indexing", ("cleaning_completed_at", "splitting_completed_at")),
    ("completed", ()),
)


@dataclass(frozen=True)
class Writer:
    """Makes and changes the documents of all knowledge bases.

    Args:
        tables: Where they are kept.
        uploads: Where their files are kept.
    """

    tables: Tables
    uploads: Uploads

    def keep_file(self, name: str, mime_type: str, content: bytes) -> JsonObject:
        """Keep the file of a document and return it as documents show it."""
        record = self.uploads.keep(ACCOUNT.app_id, ACCOUNT, name, mime_type, content)
        return self._shown(record)

    def keep_text(self, name: str, text: str) -> JsonObject:
        """Keep a text as the file of a document, and return it as documents show it."""
        content = text.encode("utf-8", errors="replace")
        record = self.uploads.keep(
            ACCOUNT.app_id, ACCOUNT, name, "text/plain", content, extension="txt"
        )
        return self._shown(record)

    @staticmethod
    def _shown(record: JsonObject) -> JsonObject:
        keys = ("id", "name", "size", "extension", "mime_type", "created_by")
        return {**{key: record[key] for key in keys}, "created_at": time.time()}

    def create(
        self,
        dataset: Dataset,
        name: str,
        file: JsonObject,
        *,
        doc_form: str | None = None,
        doc_language: str | None = None,
        process_rule: JsonObject | None = None,
        indexing_technique: str | None = None,
    ) -> Document:
        """Add a document that waits to be indexed.

        Args:
            dataset: Where; it takes over what the document says where it has nothing yet.
            name: Name of the document.
            file: Its file, from `keep_file`.
            doc_form: text_model, hierarchical_model or qa_model.
            doc_language: Language of the questions that a qa_model makes.
            process_rule: How to split it; the rule of the document before when left out.
            indexing_technique: high_quality or economy.
        """
        documents = self.tables.documents(dataset.id)
        document = Document(
            dataset_id=dataset.id,
            name=name,
            position=max((one.position for one in documents), default=0) + 1,
            batch=new_batch(),
            upload_file=file,
            process_rule=self._rule(dataset, process_rule),
            doc_form=doc_form or dataset.doc_form or "text_model",
            doc_language=doc_language or "English",
        )
        dataset.data_source_type = "upload_file"
        dataset.doc_form = dataset.doc_form or document.doc_form
        dataset.indexing_technique = dataset.indexing_technique or indexing_technique
        self._keep(dataset, document)
        return document

    def update(
        self,
        dataset: Dataset,
        document: Document,
        *,
        name: str | None = None,
        file: JsonObject | None = None,
        doc_form: str | None = None,
        doc_language: str | None = None,
        process_rule: JsonObject | None = None,
    ) -> None:
        """Change a document, which waits to be indexed again; what is left out stays.

        Raises:
            ApiError: The document is archived, disabled, or being indexed.
        """
        if not document.available:
            raise invalid_param("Document is not available")
        document.name = name or (file["name"] if file else document.name)
        document.upload_file = file or document.upload_file
        if process_rule:
            document.process_rule = self._rule(dataset, process_rule)
        document.doc_form = doc_form or document.doc_form
        document.doc_language = doc_language or document.doc_language
        document.created_from = "web"
        document.indexing_status = "waiting"
        document.moments = {}
        document.updated_at = now()
        self._keep(dataset, document)

    def _keep(self, dataset: Dataset, document: Document) -> None:
        self._refresh_built_in(dataset, document)
        with self.tables.store.transaction():
            self.tables.save_dataset(dataset)
            self.tables.save_document(document)

    @staticmethod
    def _refresh_built_in(dataset: Dataset, document: Document) -> None:
        if dataset.built_in_field_enabled:
            document.doc_metadata.update(built_in_values(document))

    @staticmethod
    def _rule(dataset: Dataset, given: JsonObject | None) -> JsonObject:
        if given is None and dataset.process_rule is not None:
            return dataset.process_rule
        given = given or {"mode": "automatic"}
        rules = splitting.AUTOMATIC_RULES if given["mode"] == "automatic" else given["rules"]
        dataset.process_rule = {"id": new_id(), "mode": given["mode"], "rules": rules}
        return dataset.process_rule

    def index(self, dataset_id: str, document_id: str) -> Iterator[float]:
        """Index a document, state by state; it may be changed or deleted between them.

        A text that begins with `/fail MESSAGE` fails, and one with `/slow SECONDS` takes so long.

        Yields:
            After each state that was kept, the seconds that the document asks to wait.
        """
        started = time.monotonic()
        for status, moments in _STATES:
            document = self.tables.document(dataset_id, document_id)
            if document is None:
                return
            try:
                seconds = self._check(document)
            except UnreadableFileError as error:
                document.error = str(error)
                self._reach(document, "error", ("stopped_at",))
                return
            if status == "completed":
                document.indexing_latency = time.monotonic() - started
                self._write_segments(document)
                return
            self._reach(document, status, moments)
            yield seconds if status == "indexing" else 0.0

    def _check(self, document: Document) -> float:
        rule = document.process_rule
        if document.indexing_status == "waiting" or rule is None:
            return 0.0
        if wrong := splitting.check_rule(rule):
            raise UnreadableFileError(wrong)
        return _obeyed(self._texts(document))[1]

    def _reach(self, document: Document, status: IndexingStatus, moments: tuple[str, ...]) -> None:
        document.indexing_status = status
        document.moments.update(dict.fromkeys(moments, now()))
        document.updated_at = now()
        self.tables.save_document(document)

    def _write_segments(self, document: Document) -> None:
        texts, _ = _obeyed(self._texts(document))
        segments = self._segments(document, texts)
        document.title = title_of(document.name, texts[0] if texts else "")
        if document.upload_file:
            document.tokens = sum(segment.tokens for segment, _ in segments)
        document.word_count = sum(segment.word_count for segment, _ in segments)
        document.error = None
        with self.tables.store.transaction():
            self.tables.delete_segments(self.tables.segments(document.id))
            for segment, chunks in segments:
                for chunk in chunks:
                    self.tables.save_child(chunk)
                self.tables.save_segment(segment, document.title)
            self._reach(document, "completed", ("completed_at",))

    def _texts(self, document: Document) -> list[str]:
        file = document.upload_file
        return (
            self._texts_of(file["id"]) if file else self.pipeline_texts(document.data_source_info)
        )

    def pipeline_texts(self, info: JsonObject) -> list[str]:
        """Return the texts of a file that a pipeline was given.

        Raises:
            UnreadableFileError: There is no such file.
        """
        return self._texts_of(str(info.get("reference") or info.get("related_id")))

    def _texts_of(self, file_id: str) -> list[str]:
        try:
            record, content, _, _ = self.uploads.content(file_id)
        except ApiError:
            raise UnreadableFileError(f"UploadFile not found for file_id={file_id}") from None
        return file_texts(record["extension"], content)

    def create_in_pipeline(self, dataset: Dataset, info: JsonObject, kind: str) -> Document:
        """Add a document that waits for the pipeline of its dataset.

        Args:
            dataset: One that has a pipeline.
            info: What is known of its source: the id of a file as `reference`, its `name`.
            kind: The kind of source, such as local_file.
        """
        documents = self.tables.documents(dataset.id)
        document = Document(
            dataset_id=dataset.id,
            name=str(info.get("name") or "untitled"),
            position=max((one.position for one in documents), default=0) + 1,
            batch=new_batch(),
            data_source_type=kind,
            data_source_info=info,
            process_rule=dataset.process_rule,
            created_from="rag-pipeline",
        )
        self.tables.save_document(document)
        return document

    def _segments(
        self, document: Document, texts: list[str]
    ) -> list[tuple[Segment, list[ChildChunk]]]:
        rule = document.process_rule or {"mode": "automatic", "rules": splitting.AUTOMATIC_RULES}
        contents: list[tuple[str, str | None]] = []
        for text in texts:
            pieces = splitting.split(text, rule)
            if document.doc_form == "qa_model":
                contents += [pair for piece in pieces for pair in splitting.split_questions(piece)]
            else:
                contents += [(piece, None) for piece in pieces]
        made = []
        for position, (content, answer) in enumerate(contents, start=1):
            segment = new_segment(document, position, content, answer)
            made.append((segment, child_chunks(document, segment)))
        return made


def _obeyed(texts: list[str]) -> tuple[list[str], float]:
    match = _DIRECTIVE.match(texts[0]) if texts else None
    if match is None:
        return texts, 0.0
    name, argument = match[1], match[2].strip()
    if name == "fail":
        raise UnreadableFileError(argument or _FAILURE)
    try:
        return [texts[0][match.end() :], *texts[1:]], max(0.0, float(argument))
    except ValueError:
        raise UnreadableFileError("/slow takes a number of seconds") from None


def new_segment(
    document: Document, position: int, content: str, answer: str | None = None
) -> Segment:
    """Return a new segment of a document."""
    return Segment(
        document.dataset_id,
        document.id,
        position,
        content,
        splitting.count_tokens(f"{content} {answer or ''}"),
        answer=answer,
    )


def child_chunks(document: Document, segment: Segment) -> list[ChildChunk]:
    """Return the child chunks that the document's rule makes of a segment."""
    if document.doc_form != "hierarchical_model" or document.process_rule is None:
        return []
    pieces = splitting.split_child_chunks(segment.content, document.process_rule)
    return [
        ChildChunk(segment.id, piece, position) for position, piece in enumerate(pieces, start=1)
    ]


def built_in_values(document: Document) -> dict[str, object]:
    """Return the values of a document's built-in fields."""
    return {
        "document_name": document.name,
        "uploader": ACCOUNT_NAME,
        "upload_date": float(document.created_at),
        "last_update_date": time.time(),
        "source": "file_upload",
    }


def new_batch() -> str:
    """Return the name of a batch: the time, and six digits against collisions."""
    digits = f"{int(new_id()[:6], 16) % 1_000_000:06d}"
    return time.strftime("%Y%m%d%H%M%S", time.gmtime()) + digits
