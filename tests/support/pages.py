"""The Python of a Markdown page, as a reader runs it: block after block, on the local server."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dify_api import DifyClient, chat
from dify_local import LocalDify

_BLOCK = re.compile(
    r"<!-- (?P<note>runs|setup)(?P<said>.*?)-->|^```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """Code of a page.

    A comment before it may say which app of the local server it asks, as in
    `<!-- runs: app=workflow -->`, or why it cannot run here: `<!-- runs: no, REASON -->`.
    `<!-- setup CODE -->` is code that a reader of the page has already, or does not care for.
    """

    code: str
    app: str = "chat"
    runs: bool = True


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found: list[Block] = []
    app, runs = "chat", True
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        if match["note"] == "runs":
            said = match["said"].strip(": \n")
            app = said.removeprefix("app=") if said.startswith("app=") else "chat"
            runs = not said.startswith("no,")
            continue
        found.append(Block(match["code"] or match["said"].strip(), app, runs))
        if match["code"]:
            app, runs = "chat", True
    return found


class Reader:
    """Runs the blocks of one page, its placeholders filled in."""

    def __init__(self, server: LocalDify, environment: dict[str, str]) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self._server = server
        self._environment = environment
        client = DifyClient(server.keys["chat"], base_url=server.base_url)
        begun = client.send(chat.send_message("Hello", user="ann"))
        self._conversation = begun.conversation_id or ""

    async def run(self, block: Block, page: str) -> None:
        """Run a block; `await` may stand in it, as in a notebook."""
        self._environment["DIFY_API_KEY"] = self._server.keys[block.app]
        self._environment["DIFY_DATASET_API_KEY"] = self._server.dataset_key
        self._environment["DIFY_BASE_URL"] = self._server.base_url
        code = compile(self._filled_in(block), page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, self.names)
        else:
            await asyncio.to_thread(exec, code, self.names)

    def _filled_in(self, block: Block) -> str:
        keys, server = self._server.keys, self._server
        fillings = {
            '["app-...", "app-..."]': f'["{keys["chat"]}", "{keys["workflow"]}"]',
            '"app-..."': f'"{keys[block.app]}"',
            '"dataset-..."': f'"{server.dataset_key}"',
            'dataset_id="..."': f'dataset_id="{server.dataset_id}"',
            '"DATASET-UUID"': f'"{server.dataset_id}"',
            '"7719ddd9-..."': f'"{self._conversation}"',
            "https://dify.example.com/v1": server.base_url,
        }
        code = block.code
        for placeholder, value in fillings.items():
            code = code.replace(placeholder, value)
        assert '..."' not in code, f"a placeholder that this test does not know:\n{code}"
        return code
