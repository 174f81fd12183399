"""The README's Python, run against the local server, its placeholders filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import ReActAgent
from pydantic import BaseModel

import langchain_dify
import llama_index_dify
from dify_api import DifyClient, chat
from dify_local import LocalDify

README = (Path(__file__).parents[1] / "README.md").read_text()


class Planet(BaseModel):
    name: str
    moons: int
    kind: Literal["rocky", "gas giant"] = "rocky"


def sections() -> dict[str, list[str]]:
    """The blocks of each section that has some, by its heading."""
    parts = re.split(r"^## (.+)$", f"## Introduction\n{README}", flags=re.MULTILINE)[1:]
    blocks = {
        heading: re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: found for heading, found in blocks.items() if found}


def what_is_there_before(section: str) -> dict[str, Any]:
    """What a reader has imported or made by then."""
    if section == "LangChain":
        return {
            **{name: getattr(langchain_dify, name) for name in langchain_dify.__all__},
            "Planet": Planet,
            "saver": InMemorySaver(),
            "thread": {"configurable": {"thread_id": "1"}},
            "model": langchain_dify.ChatDify(user="ann"),
        }
    if section == "LlamaIndex":
        return {
            **{name: getattr(llama_index_dify, name) for name in llama_index_dify.__all__},
            "Planet": Planet,
            "PromptTemplate": PromptTemplate,
            "ReActAgent": ReActAgent,
        }
    return {}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture
def filled_in(server: LocalDify) -> Callable[[str], str]:
    keys = server.keys
    client = DifyClient(keys["chat"], base_url=server.base_url)
    conversation = client.send(chat.send_message("Hello", user="ann")).conversation_id
    fillings = {
        '["app-...", "app-..."]': f'["{keys["chat"]}", "{keys["workflow"]}"]',
        'DifyWorkflow(api_key="app-..."': f'DifyWorkflow(api_key="{keys["workflow"]}"',
        '"app-..."': f'"{keys["chat"]}"',
        '"dataset-..."': f'"{server.dataset_key}"',
        'dataset_id="..."': f'dataset_id="{server.dataset_id}"',
        '"DATASET-UUID"': f'"{server.dataset_id}"',
        '"7719ddd9-..."': f'"{conversation}"',
        "https://dify.example.com/v1": server.base_url,
    }

    def fill_in(block: str) -> str:
        for placeholder, value in fillings.items():
            block = block.replace(placeholder, value)
        assert '..."' not in block, f"a placeholder that this test does not know:\n{block}"
        return block

    return fill_in


@pytest.mark.parametrize("section", sections())
def test_the_python_of_a_section_runs(
    section: str,
    server: LocalDify,
    filled_in: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
    monkeypatch.setenv("DIFY_API_KEY", server.keys["chat"])
    names = what_is_there_before(section)
    for block in sections()[section]:
        # The app that follows a prompt's instructions.
        app = "planner" if "Planet" in block else "chat"
        monkeypatch.setenv("DIFY_API_KEY", server.keys[app])
        exec(compile(filled_in(block), "README.md", "exec"), names)
    if "planet" in names:
        assert names["planet"] == Planet(name="Mars", moons=2)


def test_the_answers_that_the_readme_prints_are_there(
    server: LocalDify, filled_in: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    for block in sections()["Introduction"]:
        exec(compile(filled_in(block), "README.md", "exec"), {})
        assert "Saturn" in capsys.readouterr().out
