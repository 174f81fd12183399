"""Reasoning inside an answer's text, wherever the pieces of the text are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_api.answers._thinking import ThinkSplitter


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = ThinkSplitter()
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.end()]
    return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)


@pytest.mark.parametrize(
    ("whole", "text", "thinking"),
    [
        ("<think>Hm.</think>\n\nHello", "Hello", "Hm."),
        ("No reasoning", "No reasoning", ""),
        ("<think>never closed", "", "never closed"),
        ("a < b <thi> c", "a < b <thi> c", ""),
        ("<think></think>Hello", "Hello", ""),
        ("<think>one</think>Hello <think>two</think>again", "Hello again", "onetwo"),
    ],
)
def test_split(whole: str, text: str, thinking: str) -> None:
    assert ThinkSplitter.split(whole) == (text, thinking)
    assert split(list(whole)) == (text, thinking)


@given(st.lists(st.sampled_from(["<", "think", "</think>", "<think>", ">", " ", "a", "</"])))
def test_any_cut_gives_the_same(pieces: list[str]) -> None:
    assert split(pieces) == ThinkSplitter.split("".join(pieces))
