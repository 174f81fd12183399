"""The examples of query engine, retriever, router and tools run offline and clean up."""

from __future__ import annotations

import pytest

from tests.support.examples import output_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "llama_index_query_engine",
            ["A: According to the document on Saturn", "0.69  saturn.md", "tokens"],
        ),
        (
            "llama_index_retriever",
            ["Full text\n  0.69  earth.md", "Keywords\n     -  earth.md", "fused by rank\n  0.03"],
        ),
        (
            "llama_index_router",
            ["-> planets", "274 moons", "from saturn.md", "-> notes", "at 20:00", "from notes"],
        ),
        (
            "llama_index_tools",
            [
                "calls Solar_System_Chat(",
                "which cites saturn.md",
                "calls Solar_System_Agent(",
                "= 292",
            ],
        ),
    ],
)
def test_example(name: str, expected: list[str]) -> None:
    output = output_of(name)
    for text in expected:
        assert text in output


def test_ingest() -> None:
    first, _, second, _, third, last = output_of("llama_index_ingest").splitlines()
    assert (first, second, third) == (
        "3 written, 3 there",
        "0 written, 3 there",
        "1 written, 2 there",
    )
    assert last.endswith("Saturn has 274 moons, since 2025. (saturn.md)")
