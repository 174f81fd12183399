from __future__ import annotations

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_api.answers._stop import StopSequences
from langchain_dify._answers.text import StreamedText, is_scrambled, unseen


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
    [
        ("", "", ""),
        ("", "a", "a"),
        ("a", "a", ""),
        ("a", "ab", "b"),
        ("OK: ", "OK:", ""),
        ("Saturn has 146.", "Saturn has 146, or so.", ", or so."),
        ('{"a": 1}', '{"a": 1, "b": 2}', ', "b": 2}'),
        ("I can say it.", "I cannot say it.", "I cannot say it."),
        ("x", "", ""),
        ("![a](/a?timestamp=1&nonce=2&sign=3) b", "![a](/a?timestamp=4&nonce=5&sign=6%3D) b", ""),
        ("![a](/a?page=1)", "![a](/a?page=2)", "![a](/a?page=2)"),
    ],
)
def test_what_is_not_shown_yet(shown: str, answer: str, missing: str) -> None:
    assert unseen(shown, answer) == missing


@pytest.mark.parametrize(
    ("shown", "answer", "scrambled"),
    [
        ("A: B: s0 s0 s1 s1 s0 s1", "A: s0 s1\nB: s0 s1", True),
        ("Let me see. I open it. I read it. It is noon.", "It is noon.", True),
        ("I need a human.", "May I proceed?", False),
        ("I will not say what I will, for I do not know it.", "I will.", False),
        ("It is open.", "It is not open.", False),
    ],
)
def test_what_was_shown_in_another_order(shown: str, answer: str, scrambled: bool) -> None:
    assert is_scrambled(shown, answer) is scrambled


pieces = st.builds(
    lambda text, shown: StreamedText(text, replaces=shown is not None, shown=shown),
    st.text("ab", max_size=3),
    st.none() | st.text("ab", max_size=3),
) | st.text("ab", max_size=3)


@given(st.lists(pieces, min_size=1, max_size=8), st.data())
def test_pieces_add_up_to_the_answer_in_any_order(texts: list[str], data: st.DataObject) -> None:
    answer = ""
    for text in texts:
        replacement = getattr(text, "replacement", None)
        answer = answer + text if replacement is None else replacement
    while len(texts) > 1:
        at = data.draw(st.integers(0, len(texts) - 2))
        texts = [*texts[:at], texts[at] + texts[at + 1], *texts[at + 2 :]]
    assert "" + texts[0] == answer


def test_a_replacement_can_be_pickled() -> None:
    loaded = pickle.loads(pickle.dumps(StreamedText("new", replaces=True, shown="")))
    assert (loaded, "old" + loaded) == ("", "new")
