"""A knowledge base that is kept in step with a source.

A document is created, then gets its metadata with its id and the hash of its content, then is
waited for. Each step can be made again: a run that was interrupted anywhere is completed by the
next, which finds what is there by the id, or, where the metadata are missing, by name and size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from dify_api._calls.knowledge.catalogue import Catalogue, KnownDocument
from dify_api._calls.knowledge.document_metadata import (
    HASH_FIELD,
    ID_FIELD,
    as_fields,
    checked_metadata,
    types_of,
)
from dify_api._calls.knowledge.document_requests import DocumentRequests, is_not_available
from dify_api._calls.knowledge.indexing import Indexing, patiently, until_indexed
from dify_api._calls.knowledge.pages import every_item
from dify_api._calls.knowledge.source_documents import SourceDocument, last_of_each_id
from dify_api._runs.flows import Flow, OneAtATime
from dify_api.endpoints import documents, knowledge, metadata
from dify_api.endpoints.documents import DocumentBatch
from dify_api.endpoints.knowledge import Dataset
from dify_api.endpoints.metadata import MetadataField, MetadataFields, MetadataType
from dify_api.endpoints.retrieval import IndexingTechnique
from dify_api.errors import BadRequestError, NotFoundError, StatusError
from dify_api.knowledge_errors import DatasetNameDuplicateError
from dify_api.operation import require_uuid

_CHANGING = "changing"
"""In the place of a hash while a document gets new content."""


class KnowledgeBase:
    """Writes the documents of a source into a knowledge base.

    What it holds is read once and then remembered: one at a time may write.

    Args:
        dataset_id: The knowledge base; None to take the one called `name`, which is made where
            there is none.
        name: Its name.
        indexing_technique: Of a new knowledge base.
        indexing_timeout: Seconds that indexing may go without progress; None for no limit.
        same_content: Whether a document with another id and equal content is taken for the
            same, for sources whose ids change with each run.
        settings: Fields of `documents.NewDocumentSettings`.

    Raises:
        ValueError: If there is neither an id nor a name, or a setting cannot have its value.
    """

    def __init__(
        self,
        dataset_id: str | None = None,
        *,
        name: str | None = None,
        indexing_technique: IndexingTechnique | None = None,
        indexing_timeout: float | None = 600.0,
        same_content: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if dataset_id is not None:
            require_uuid(dataset_id, "dataset_id")
        elif not name:
            raise ValueError("give the dataset_id of a knowledge base, or the name of one")
        else:
            knowledge.create(name)  # checks the name
        self.dataset_id = dataset_id
        self.name = name
        # Of threads and tasks that come first at once: several bases of one name might be made.
        self._finding, self._preparing = OneAtATime(), OneAtATime()
        self._technique: IndexingTechnique = indexing_technique or "high_quality"
        self.indexing_timeout = indexing_timeout
        self._same_content = same_content
        self._settings = settings or {}
        self._requests: DocumentRequests | None = None
        self._catalogue: Catalogue | None = None
        self._fields: dict[str, MetadataField] = {}

    def found(self) -> Flow[str]:
        """The id of the knowledge base, which is made where there is none of its name."""
        return self.dataset_id or (yield from self._finding.through(self._find_or_make()))

    def _find_or_make(self) -> Flow[str]:
        if self.dataset_id is None:
            self.dataset_id = yield from _named(self.name or "", self._technique, self._settings)
        return self.dataset_id

    def catalogue(self) -> Flow[Catalogue]:
        """What is in the knowledge base; read once."""
        dataset_id = yield from self.found()
        if self._catalogue is None:
            read = yield from Catalogue.of(dataset_id)
            self._catalogue = self._catalogue or read
        return self._catalogue

    def changed(self, sources: Sequence[SourceDocument]) -> Flow[list[SourceDocument]]:
        """Those that are not in the knowledge base as they are now, ready to be written.

        Raises:
            ValueError: If metadata have a name that no field can have.
        """
        for source in sources:
            checked_metadata(source.metadata)
        known = yield from self.catalogue()
        changed = [source for source in last_of_each_id(sources) if self._unequal(known, source)]
        if any(not source.is_empty for source in changed):
            yield from self._preparing.through(self._prepare(changed))
        return changed

    def write(self, source: SourceDocument) -> Flow[Indexing | None]:
        """Write one of `changed`; None for one without text, which is deleted."""
        catalogue = yield from self.catalogue()
        with self._forgotten_on_failure():
            yield from self._delete(catalogue.take_surplus(source.id))
            if source.is_empty:
                yield from self._delete(catalogue.take(source.id))
                return None
            known = catalogue.get(source.id)
            if known is not None and known.has_content_of(source):
                yield from self._describe(source, known.document_id)
                known.full_hash = source.full_hash
                return Indexing(source.id, known.document_id)
            written = yield from self._replace(source, catalogue, known)
            document_id = written.document.id
            yield from self._describe(source, document_id)
            catalogue.note(KnownDocument(source.id, document_id, source.full_hash, "waiting"))
            return Indexing(source.id, document_id, written.batch)

    def pending(self, sources: Sequence[SourceDocument]) -> Flow[list[Indexing]]:
        """Those that an earlier run has written and the server has not indexed yet."""
        catalogue = yield from self.catalogue()
        found = (catalogue.get(source.id) for source in sources)
        return [
            Indexing(known.source_id, known.document_id)
            for known in found
            if known is not None and known.status != "completed" and not known.failed
        ]

    def wait(self, indexing: Indexing) -> Flow[tuple[str, str | None]]:
        """Wait until a document is indexed; its source id, and why it could not be."""
        catalogue = yield from self.catalogue()
        dataset_id = yield from self.found()
        failure = yield from until_indexed(dataset_id, indexing, timeout=self.indexing_timeout)
        if (known := catalogue.get(indexing.source_id)) is not None:
            known.status = "completed" if failure is None else "error"
        return indexing.source_id, failure

    def delete(self, source_id: str) -> Flow[bool]:
        """Delete the document of an id; whether there was one."""
        catalogue = yield from self.catalogue()
        with self._forgotten_on_failure():
            document_ids = catalogue.take(source_id)
            yield from self._delete(document_ids)
            return bool(document_ids)

    @contextlib.contextmanager
    def _forgotten_on_failure(self) -> Iterator[None]:
        """After a request of which nobody knows what it has done, the documents are read anew."""
        try:
            yield
        except BaseException:
            self._catalogue = None
            raise

    def _unequal(self, catalogue: Catalogue, source: SourceDocument) -> bool:
        known = catalogue.get(source.id)
        if known is None and self._same_content:
            known = catalogue.adopt_equal(source)
        if known is None:
            return not source.is_empty
        return source.is_empty or not known.equals(source) or catalogue.has_surplus(source.id)

    def _prepare(self, sources: Iterable[SourceDocument]) -> Flow[None]:
        """Learn of the knowledge base what writing needs; create the fields that are missing."""
        dataset_id = yield from self.found()
        if self._requests is None:
            dataset = yield from _looked_up(dataset_id)
            self._requests = DocumentRequests(dataset, self._technique, self._settings)
        if not self._fields:
            listed = yield from _listed_fields(dataset_id)
            self._fields = {field.name: field for field in listed.doc_metadata}
        types: dict[str, MetadataType] = self._types()
        for source in sources:
            types = {**types_of(source.metadata), **types}
        wanted = {ID_FIELD, HASH_FIELD}
        for source in sources:
            wanted.update(as_fields(source.metadata, types, source.segment_metadata))
        for name in sorted(wanted - self._fields.keys()):
            kind = types.get(name, "string")
            self._fields[name] = yield from _created_field(dataset_id, name, kind)

    def _types(self) -> dict[str, MetadataType]:
        """The types of the fields that there are."""
        known = get_args(MetadataType)
        return {
            name: cast("MetadataType", field.type if field.type in known else "string")
            for name, field in list(self._fields.items())
        }

    def _replace(
        self, source: SourceDocument, catalogue: Catalogue, known: KnownDocument | None
    ) -> Flow[DocumentBatch]:
        """Put the new content in the place of the old, else create the document."""
        assert self._requests is not None  # noqa: S101 - `changed` has prepared it
        if known is not None and not known.failed:
            known.full_hash = _CHANGING
            try:
                # Else an interruption would leave the new content with the hash of the old.
                yield from self._describe(source, known.document_id, full_hash=_CHANGING)
                updated: DocumentBatch = yield from patiently(
                    self._requests.update(source, known.document_id)
                )
                return updated
            except NotFoundError:
                pass  # deleted by somebody else
            except BadRequestError as error:
                if not is_not_available(error):
                    raise
        yield from self._delete(catalogue.take(source.id))
        yield from self._delete(catalogue.take_left_behind(source))
        created: DocumentBatch = yield from patiently(self._requests.create(source))
        return created

    def _describe(
        self, source: SourceDocument, document_id: str, *, full_hash: str | None = None
    ) -> Flow[None]:
        """Give a document its metadata."""
        values = {
            **as_fields(source.metadata, self._types(), source.segment_metadata),
            ID_FIELD: source.id,
            HASH_FIELD: full_hash or source.full_hash,
        }
        details = [
            metadata.MetadataDetail(id=self._fields[name].id, name=name, value=value)
            for name, value in values.items()
        ]
        entry = metadata.DocumentMetadataOperation(document_id=document_id, metadata_list=details)
        dataset_id = yield from self.found()
        yield from patiently(metadata.update_documents(dataset_id, [entry]))

    def _delete(self, document_ids: Iterable[str]) -> Flow[None]:
        dataset_id = yield from self.found()
        for document_id in document_ids:
            with contextlib.suppress(NotFoundError):
                yield from patiently(documents.delete(dataset_id, document_id))


def _named(name: str, technique: IndexingTechnique, settings: Mapping[str, Any]) -> Flow[str]:
    """The id of the knowledge base of this name, which is made where there is none."""
    found = yield from _find(name)
    if found is not None:
        return found
    fields = ("embedding_model", "embedding_model_provider", "retrieval_model")
    given: Any = {field: settings.get(field) for field in fields}
    try:
        created: Dataset = yield from patiently(
            knowledge.create(name, indexing_technique=technique, **given)
        )
    except DatasetNameDuplicateError:  # by another process
        found = yield from _find(name)
        if found is None:
            raise
        return found
    return created.id


def _find(name: str) -> Flow[str | None]:
    listed = yield from every_item(knowledge.datasets(keyword=name, limit=100))
    return next((dataset.id for dataset in listed if dataset.name == name), None)


def _looked_up(dataset_id: str) -> Flow[Dataset]:
    try:
        return (yield from patiently(knowledge.dataset(dataset_id)))
    except StatusError as error:
        if error.status not in (404, 405):
            raise
        return Dataset(id=dataset_id)  # servers before about 1.4.0 do not tell


def _listed_fields(dataset_id: str) -> Flow[MetadataFields]:
    try:
        return (yield from patiently(metadata.list_fields(dataset_id)))
    except StatusError as error:
        if error.status in (404, 405):
            error.hint = "To be filled from here, a knowledge base needs Dify 1.1.0 or later."
        raise


def _created_field(dataset_id: str, name: str, kind: MetadataType) -> Flow[MetadataField]:
    operation = metadata.create_field(dataset_id, name, kind)
    try:
        return (yield from patiently(operation))
    except BadRequestError:  # by another process
        listed = yield from patiently(metadata.list_fields(dataset_id))
        for field in listed.doc_metadata:
            if field.name == name:
                return field
        raise
