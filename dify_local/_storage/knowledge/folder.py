"""A folder of documents as a knowledge base.

A blank line of a document ends a segment.
Ids are made from the names, so that they are the same in every process. With a database that is
kept, only files that were changed since are read again: what was written over the API stays.
"""

from __future__ import annotations

from pathlib import Path

from dify_local._protocol.values import JsonObject, stable_id
from dify_local._storage import document_files
from dify_local._storage.document_files import DocumentFile
from dify_local._storage.knowledge import splitting
from dify_local._storage.knowledge.records import (
    EMBEDDING_MODEL,
    EMBEDDING_PROVIDER,
    Dataset,
    Document,
)
from dify_local._storage.knowledge.writing import Writer, new_batch, new_segment

SHIPPED_DOCUMENTS = Path(__file__).parents[2] / "documents"
_SHIPPED_NAME = "Solar System"
_SETTINGS: JsonObject = {
    "search_method": "full_text_search",
    "reranking_enable": False,
    "reranking_mode": None,
    "reranking_model": {"reranking_provider_name": "", "reranking_model_name": ""},
    "weights": None,
    "top_k": 3,
    "score_threshold_enabled": False,
    "score_threshold": None,
}


def dataset_name(folder: Path) -> str:
    """Return the name of the knowledge base over a folder."""
    return _SHIPPED_NAME if folder == SHIPPED_DOCUMENTS else folder.name


def dataset_id(folder: Path) -> str:
    """Return the id of the knowledge base over a folder, the same in every process."""
    return stable_id("dataset", dataset_name(folder))


def read_folder(writer: Writer, folder: Path) -> Dataset:
    """Bring the knowledge base over a folder in step with its files, and return it.

    Raises:
        FileNotFoundError: The folder is not there.
        ValueError: It has no documents, or one of them cannot be read.
    """
    tables = writer.tables
    with tables.store.transaction():
        dataset = tables.dataset(dataset_id(folder)) or _new_dataset(folder)
        tables.save_dataset(dataset)
        read_before = dataset.file_digests
        dataset.file_digests = {}
        for file in document_files.read_folder(folder):
            if read_before.get(file.name) != file.digest:
                _write(writer, dataset, file)
            dataset.file_digests[file.name] = file.digest
        for name in read_before.keys() - dataset.file_digests.keys():
            _forget(writer, dataset, name)
        tables.save_dataset(dataset)
    return dataset


def _new_dataset(folder: Path) -> Dataset:
    name = dataset_name(folder)
    rules = {
        "pre_processing_rules": [{"id": "remove_extra_spaces", "enabled": True}],
        "segmentation": {"separator": "\n\n", "max_tokens": 4000, "chunk_overlap": 0},
    }
    return Dataset(
        name=name,
        id=dataset_id(folder),
        description=f"Documents about {name}",
        permission="all_team_members",
        data_source_type="upload_file",
        indexing_technique="high_quality",
        embedding_model=EMBEDDING_MODEL,
        embedding_model_provider=EMBEDDING_PROVIDER,
        retrieval_model=_SETTINGS,
        doc_form="text_model",
        process_rule={"id": stable_id("rule", name), "mode": "custom", "rules": rules},
        app_count=5,
    )


def _forget(writer: Writer, dataset: Dataset, name: str) -> None:
    document = writer.tables.document(dataset.id, _document_id(dataset, name))
    if document:
        writer.tables.delete_document(document)


def _document_id(dataset: Dataset, name: str) -> str:
    return stable_id("document", dataset.id, name)


def _write(writer: Writer, dataset: Dataset, file: DocumentFile) -> None:
    _forget(writer, dataset, file.name)
    tables = writer.tables
    title, paragraphs = file.read()
    row = tables.store.row("SELECT count(*) AS n FROM documents WHERE dataset_id = ?", dataset.id)
    document = Document(
        dataset.id,
        file.name,
        position=(row["n"] if row else 0) + 1,
        batch=new_batch(),
        title=title,
        id=_document_id(dataset, file.name),
        upload_file=writer.keep_file(file.name, file.media_type, file.content),
        process_rule=dataset.process_rule,
        doc_language="English",
        indexing_status="completed",
    )
    document.moments = dict.fromkeys(
        (
            "processing_started_at",
            "parsing_completed_at",
            "cleaning_completed_at",
            "splitting_completed_at",
            "completed_at",
        ),
        int(document.created_at),
    )
    document.indexing_latency = 0.0
    document.tokens = document.word_count = 0
    for position, content in enumerate(paragraphs, start=1):
        segment = new_segment(document, position, content)
        segment.id = stable_id("segment", document.id, position)
        document.tokens += splitting.count_tokens(content)
        document.word_count += segment.word_count
        tables.save_segment(segment, document.title)
    tables.save_document(document)
