"""Documents of one's own: what is read, and what is said of what is not."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from dify_local import LocalDify
from tests.dify_local.support import Caller, pdf


def ask(folder: Path, question: str) -> list[str]:
    """The names of the documents that an answer cites."""
    with LocalDify(documents=folder) as server, Caller(server, "chat") as mine:
        resources = mine.ask(question)["metadata"]["retriever_resources"]
    return [resource["document_name"] for resource in resources]


def test_folders_inside_and_every_suffix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hidden.md").write_text("The koala sleeps.")
    (tmp_path / "deep" / "deeper" / "koala.markdown").write_text("# Koalas\n\nThe koala sleeps.")
    (tmp_path / "bom.TXT").write_text("\ufeff# Emus\nThe emu runs.", encoding="utf-8")
    (tmp_path / "table.csv").write_text("a,b")
    assert ask(tmp_path, "Does the koala sleep?") == ["deep/deeper/koala.markdown"]
    assert ask(tmp_path, "Does the emu run?") == ["bom.TXT"]
    assert "1 files are not read: .csv" in caplog.text


def test_a_pdf_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pypdf", reason="PDFs are an extra of their own")
    (tmp_path / "wombat.pdf").write_bytes(pdf("The wombat eats grass."))
    assert ask(tmp_path, "What does the wombat eat?") == ["wombat.pdf"]


def test_a_pdf_without_the_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wombat.pdf").write_bytes(pdf("The wombat eats grass."))
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(ValueError, match=r"wombat.pdf: .* pip install 'dify-adapters\[pdf\]'"):
        LocalDify(documents=tmp_path).start()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No documents in"):
        LocalDify(documents=tmp_path).start()
    (tmp_path / "latin.md").write_bytes("# Caf\xe9".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin.md is not UTF-8 \(byte 5\)"):
        LocalDify(documents=tmp_path).start()
    (tmp_path / "latin.md").write_text("ok")
    with LocalDify(documents=tmp_path):
        pass


def test_reading_much_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_local._storage.document_files._REPORT_EVERY", 0)
    for number in range(3):
        (tmp_path / f"{number}.md").write_text("Text.")
    with caplog.at_level(logging.INFO, "dify_local"), LocalDify(documents=tmp_path):
        pass
    assert "Read 2 of 3 documents" in caplog.messages


def test_many_documents_are_searched_as_soon_as_they_are_indexed(tmp_path: Path) -> None:
    for number in range(40):
        paragraphs = [f"Paragraph {number} {line}." for line in range(30)]
        (tmp_path / f"{number}.md").write_text("\n\n".join(paragraphs))
    (tmp_path / "z.md").write_text("The wombat eats grass.")
    assert ask(tmp_path, "What does the wombat eat?") == ["z.md"]
