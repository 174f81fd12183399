"""What the README shows of LlamaIndex type-checks, without the pydantic plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.types
_ROOT = Path(__file__).parents[2]
_IMPORTS = """
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import ReActAgent
from pydantic import BaseModel

from llama_index_dify import (
    Dify,
    DifyChatEngine,
    DifyCompletion,
    DifyQueryEngine,
    DifyRetriever,
    DifyTool,
    DifyToolSpec,
)


class Planet(BaseModel):
    name: str
    moons: int


completion = DifyCompletion(api_key="app-...", prompt_input="text", stop=["END"])
shared = Dify(base_url="https://dify.example.com/v1", workflow_id="...", timeout=5.0)
engine = DifyChatEngine.from_defaults(shared, user="ann", system_prompt="Be brief.")
tool = DifyTool.from_app(api_key="app-...")
agent = ReActAgent(tools=[tool], llm=shared)
"""


def _snippets() -> str:
    """The README's, one after the other as a user would paste them."""
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    found = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if _is_ours(code)]
    assert len(found) > 4
    functions = [
        f"def snippet_{number}() -> None:\n" + re.sub(r"(?m)^(?=.)", "    ", code)
        for number, code in enumerate(found)
    ]
    return "\n\n".join([_IMPORTS, *functions])


def _is_ours(code: str) -> bool:
    names = ("llama_index", "DifyQueryEngine", "DifyChatEngine", "ReActAgent", "similarity_top_k")
    return any(name in code for name in names)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "snippets.py"
    path.write_text(_snippets(), encoding="utf-8")
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
