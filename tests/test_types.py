"""What the pages show type-checks, as users have it: without the pydantic plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import blocks

pytestmark = pytest.mark.types

_ROOT = Path(__file__).parents[1]
_PAGES = ("start-langchain", "start-llama-index", "files")
_MORE = """
import httpx
import httpx2
from dify_api import AsyncDifyClient, DifyClient
from llama_index_dify import Dify, DifyChatEngine, DifyCompletion, DifyTool
from langchain_dify import ChatDify, DifyLLM


def more() -> None:
    DifyCompletion(api_key="app-...", prompt_input="text", stop=["END"])
    shared = Dify(base_url="https://dify.example.com/v1", workflow_id="...", timeout=5.0)
    DifyChatEngine.from_defaults(shared, user="ann", system_prompt="Be brief.")
    DifyTool.from_app(api_key="app-...")
    DifyLLM(api_key="app-...", prompt_input="text")
    ChatDify(base_url="https://dify.example.com/v1", workflow_id="...", timeout=5.0)


def either_httpx() -> None:
    DifyClient("app-...", http_client=httpx.Client(), timeout=httpx.Timeout(5.0))
    DifyClient("app-...", http_client=httpx2.Client(), timeout=httpx2.Timeout(5.0))
    AsyncDifyClient("app-...", http_async_client=httpx2.AsyncClient())
    ChatDify(http_client=httpx2.Client(), http_async_client=httpx.AsyncClient())
    Dify(http_client=httpx.Client(), http_async_client=httpx2.AsyncClient())
    DifyChatEngine.from_defaults(http_client=httpx2.Client(), timeout=httpx2.Timeout(5.0))
    DifyClient(
        "app-...",
        http_client=httpx2.AsyncClient(),  # type: ignore[arg-type]
    )
"""


def _program() -> str:
    """Each block of the README, and each page as a whole, as a function."""
    pages = [[block] for block in blocks(_ROOT / "README.md")]
    pages += [blocks(_ROOT / "docs" / f"{name}.md") for name in _PAGES]
    functions = []
    for number, page in enumerate(pages):
        code = "\n".join(block.code for block in page)
        functions.append(f"def page_{number}() -> None:\n" + re.sub(r"(?m)^(?=.)", "    ", code))
    return "\n\n".join([_MORE, *functions])


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "pages.py"
    path.write_text(_program(), encoding="utf-8")
    return path


def test_mypy(program: Path) -> None:
    config = program.with_name("mypy.ini")
    config.write_text("[mypy]\nstrict = True\nfollow_imports = silent\n", encoding="utf-8")
    # A cache of its own: that of other settings would be of no use, and be overwritten.
    cache = f"--cache-dir={_ROOT / '.mypy_cache' / 'plain'}"
    _check(sys.executable, "-m", "mypy", "--config-file", str(config), cache, str(program))


def test_pyright(program: Path) -> None:
    settings = program.with_name("pyrightconfig.json")
    settings.write_text(f'{{"extraPaths": ["{_ROOT}"]}}', encoding="utf-8")
    command = (sys.executable, "-m", "pyright", "--pythonpath", sys.executable)
    _check(*command, "--project", str(settings))


def _check(*command: str) -> None:
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
