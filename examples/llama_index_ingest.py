"""A folder of Markdown in a Dify knowledge base, kept in step with what changes in it.

    python llama_index_ingest.py

Offline it fills a knowledge base of a local server. With DIFY_BASE_URL, DIFY_DATASET_API_KEY and
DIFY_DATASET_ID set it makes one on yours, called "Moons (example)".
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from llama_index.core import SimpleDirectoryReader
from llama_index.core.schema import Document, MetadataMode
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from dify_local import dataset_from_environment
from llama_index_dify import DifyIndex

QUESTION = "How many moons has Saturn?"
OURS = MetadataFilters(
    filters=[MetadataFilter(key="file_type", operator=FilterOperator.EQ, value="text/markdown")]
)


def load(folder: Path) -> list[Document]:
    """The files as documents whose ids are their paths."""
    return SimpleDirectoryReader(str(folder), filename_as_id=True).load_data()


def main(folder: Path) -> None:
    index = DifyIndex(name="Moons (example)")

    def bring_in() -> None:
        written = index.refresh_ref_docs(load(folder), delete_missing=True)
        print(f"{sum(written)} written, {len(index.ref_doc_ids)} there")
        [best] = index.as_retriever(similarity_top_k=1, filters=OURS).retrieve(QUESTION)
        text = best.node.get_content(metadata_mode=MetadataMode.NONE)
        print(f"  {QUESTION} {text} ({best.metadata['file_name']})")

    (folder / "saturn.md").write_text("Saturn has 146 moons.")
    (folder / "mars.md").write_text("Mars has two moons, Phobos and Deimos.")
    (folder / "pluto.md").write_text("Pluto is the ninth planet.")
    bring_in()
    bring_in()  # nothing has changed, nothing is written
    (folder / "saturn.md").write_text("Saturn has 274 moons, since 2025.")
    (folder / "pluto.md").unlink()
    bring_in()


if __name__ == "__main__":
    with dataset_from_environment(), tempfile.TemporaryDirectory() as name:
        main(Path(name))
