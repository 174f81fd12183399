"""The examples of docs/tracing.md: what the local collectors received."""

from __future__ import annotations

import re

import pytest

from tests.support.examples import output_of

pytestmark = pytest.mark.slow

NODES = ["workflow", "Start", "Knowledge Retrieval", "LLM", "Answer"]


@pytest.mark.parametrize(
    ("example", "root"),
    [
        ("langchain_openinference", "ChatDify"),
        ("langchain_langfuse", "ChatDify"),
        ("langchain_langsmith", "ChatDify"),
        ("llama_index_openinference", "Dify.chat"),
    ],
)
def test_an_example(example: str, root: str) -> None:
    answer, table = output_of(example).split("\n\n")
    assert "274 moons" in answer
    lines = table.splitlines()[1:]
    assert [re.split(r"\s{2,}", line)[0] for line in lines] == [root, *NODES]
    tokens = [int(found.group()) for line in lines if (found := re.search(r"(?<= )\d+\b", line))]
    assert tokens[0] > 0
    assert sum(tokens) == tokens[0]


def test_the_thread_is_the_conversation() -> None:
    output = output_of("langchain_openinference")
    assert re.search(r"ChatDify .* [0-9a-f-]{36}\n", output)
    assert re.search(r"ChatDify .* [\d.e-]+  [0-9a-f-]{36}\n", output_of("langchain_langsmith"))
