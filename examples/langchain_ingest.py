"""A folder of Markdown in a Dify knowledge base, kept in step with what changes in it.

    python langchain_ingest.py

Offline it fills a knowledge base of a local server. With DIFY_BASE_URL, DIFY_DATASET_API_KEY and
DIFY_DATASET_ID set it makes one on yours, called "Moons (example)".
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index

from dify_local import dataset_from_environment
from langchain_dify import DifyVectorStore

QUESTION = "How many moons has Saturn?"


def load(folder: Path) -> list[Document]:
    """What a loader of text files returns."""
    return [
        Document(page_content=file.read_text(), metadata={"source": file.name})
        for file in sorted(folder.glob("*.md"))
    ]


def main(folder: Path) -> None:
    store = DifyVectorStore(name="Moons (example)")
    records = InMemoryRecordManager("moons")  # LangChain has others, which are stored

    def bring_in() -> None:
        result = index(load(folder), records, store, cleanup="full", key_encoder="sha256")
        print(" ".join(f"{what.removeprefix('num_')}: {count}" for what, count in result.items()))
        [best] = store.similarity_search(QUESTION, k=1, filter={"source": {"end with": ".md"}})
        print(f"  {QUESTION} {best.page_content} ({best.metadata['source']})")

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
