from __future__ import annotations

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk

from langchain_dify._answers.text import StopSequences, StreamedText, remainder


def cut(text: str, seed: int) -> list[str]:
    chance, pieces = random.Random(seed), []
    while text:
        size = chance.randint(1, 4)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


@given(st.text("abS", max_size=40), st.lists(st.text("abS", min_size=1, max_size=4)), st.integers())
def test_stop_sequences_do_not_depend_on_where_pieces_are_cut(
    text: str, sequences: list[str], seed: int
) -> None:
    stop = StopSequences(sequences)
    shown = "".join([stop.feed(piece) for piece in cut(text, seed)]) + stop.end()
    # As reading on character by character would: the sequence that is complete first, wins.
    ends = [(text.find(s) + len(s), s) for s in sequences if s in text]
    if not ends:
        assert (shown, stop.found) == (text, False)
    else:
        assert stop.found
        assert not any(sequence in shown for sequence in sequences)
        assert text.startswith(shown)


@pytest.mark.parametrize(
    ("shown", "answer", "missing"),
    [("", "", None), ("a", "a", None), ("a", "ab", "b"), ("ab", "a", "a"), ("x", "", "")],
)
def test_remainder_completes(shown: str, answer: str, missing: str | None) -> None:
    rest = remainder(shown, answer)
    assert rest == missing
    if rest is not None:
        assert shown + rest == answer


def test_a_replacement_replaces_in_langchains_own_merging() -> None:
    last = AIMessageChunk("")
    last.content = StreamedText("new", replaces=True)
    chunks = [AIMessageChunk("o"), AIMessageChunk("ld")]
    assert (chunks[0] + chunks[1] + last).content == "new"
    assert (chunks[0] + [chunks[1], last]).content == "new"
    assert (chunks[0] + [last, AIMessageChunk("er")]).content == "newer"
    assert type((chunks[0] + last).content) is str


def test_a_replacement_can_be_pickled() -> None:
    loaded = pickle.loads(pickle.dumps(StreamedText("new", replaces=True, shown="")))
    assert (loaded, "old" + loaded) == ("", "new")
