"""Knowledge bases: datasets of documents, cut into segments, searchable with SQLite FTS5."""

from dify_local._storage.knowledge.folder import (
    SHIPPED_DOCUMENTS,
    dataset_id,
    dataset_name,
    read_folder,
)
from dify_local._storage.knowledge.knowledge import Knowledge
from dify_local._storage.knowledge.ready_made import PIPELINE_DATASET_ID, add_pipeline
from dify_local._storage.knowledge.records import Hit
from dify_local._storage.knowledge.tables import Tables
from dify_local._storage.knowledge.words import words
from dify_local._storage.knowledge.writing import Writer

__all__ = [
    "PIPELINE_DATASET_ID",
    "SHIPPED_DOCUMENTS",
    "Hit",
    "Knowledge",
    "Tables",
    "Writer",
    "add_pipeline",
    "dataset_id",
    "dataset_name",
    "read_folder",
    "words",
]
