"""The Python of the README and of docs/ runs, and every link between pages leads somewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dify_local import LocalDify
from tests.support.pages import Reader, blocks

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.stem)
async def test_the_python_of_a_page_runs(
    page: Path, server: LocalDify, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)
    reader = Reader(server, os.environ)
    for block in blocks(page):
        if block.runs:
            await reader.run(block, str(page))


async def test_the_readme_prints_answers(
    server: LocalDify, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for block in blocks(ROOT / "README.md"):  # each stands alone
        await Reader(server, os.environ).run(block, "README.md")
        assert "Saturn" in capsys.readouterr().out


def test_the_suite_of_the_page_about_tests_passes(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    codes = [block.code for block in blocks(ROOT / "docs" / "local.md")]
    files = {name[1]: code for code in codes if (name := re.match(r"# (\w+)\.py\n", code))}
    pytester.makepyfile(test_orders=files["test_orders"])
    pytester.makeconftest(files["conftest"])
    pytester.makeini("[pytest]\naddopts = --strict-markers -p no:cacheprovider")
    # In a process of its own: its modules are not those of the tests around it.
    result = pytester.runpytest_subprocess("-p", "dify_local.pytest_plugin")
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [_slug(heading) for heading in headings], link


def _slug(heading: str) -> str:
    """The anchor of a heading, as Markdown renderers make it."""
    text = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
    return re.sub(r"\s+", "-", text)
