"""The Python of docs/knowledge.md, run against the local server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dify_local import LocalDify

TEXT = (Path(__file__).parents[1] / "docs" / "knowledge.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "saturn.md").write_text("Saturn has 146 moons.")
    (tmp_path / "report.docx").write_text("A report on moons.")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with LocalDify() as server:
        monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
        monkeypatch.setenv("DIFY_API_KEY", server.keys["chat"])
        monkeypatch.setenv("DIFY_DATASET_API_KEY", server.dataset_key)
        for block in BLOCKS:
            exec(compile(block, "docs/knowledge.md", "exec"), names)
    assert len(BLOCKS) == 5
    assert "{'num_added': 2, 'num_updated': 0, 'num_skipped': 0, 'num_deleted': 0}" in (
        capsys.readouterr().out
    )
