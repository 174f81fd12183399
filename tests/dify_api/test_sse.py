from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dify_api.answers._sse import SSEDecoder

Frames = list[tuple[str, bytes]]


def decode(*pieces: bytes) -> Frames:
    decoder = SSEDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.flush()


def test_one_event_in_one_piece() -> None:
    assert decode(b'data: {"a": 1}\n\n') == [("", b'{"a": 1}')]


def test_ping_has_a_name_and_no_data() -> None:
    assert decode(b"event: ping\n\n") == [("ping", b"")]


def test_several_events_in_one_piece() -> None:
    assert decode(b"data: 1\n\nevent: x\ndata: 2\n\n") == [("", b"1"), ("x", b"2")]


def test_data_lines_join_by_newline() -> None:
    assert decode(b"data: 1\ndata: 2\n\n") == [("", b"1\n2")]


def test_unicode_separators_do_not_cut() -> None:
    text = 'data: "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"\n\n'.encode()
    assert decode(text) == [("", text[6:-2])]


def test_comments_ids_and_retries_are_passed_over() -> None:
    assert decode(b": hello\nid: 7\nretry: 10\ndata: 1\n\n") == [("", b"1")]


def test_the_space_after_the_colon_is_optional() -> None:
    assert decode(b"data:1\n\ndata:  2\n\n") == [("", b"1"), ("", b" 2")]


def test_a_byte_order_mark_is_passed_over() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"\xef\xbb\xbfdata: {}\n\ndata: {}\n\n") == [("", b"{}"), ("", b"{}")]


def test_a_frame_without_its_blank_line_is_kept_at_the_end() -> None:
    assert decode(b'data: {"code": "x"}') == [("", b'{"code": "x"}')]
    assert decode(b'{"code": "x", "message": "y"}') == [("", b'{"code": "x", "message": "y"}')]


def test_crlf_may_be_cut_between_its_bytes() -> None:
    assert decode(b"data: 1\r", b"\n\r", b"\ndata: 2\r\n\r\n") == [("", b"1"), ("", b"2")]


LETTERS = st.sampled_from('aé世😀 :{}"\\\u2028\u2029\u0085\x0b\x1c')


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Frames]:
    newline = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    frames: Frames = []
    body = b""
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(["", "ping", "message"]))
        text = draw(st.text(LETTERS, min_size=1, max_size=20))
        if name:
            body += b"event: " + name.encode() + newline
        body += b"data: " + text.encode() + newline + newline
        frames.append((name, text.encode()))
    return body, frames


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(streams(), st.lists(st.integers(1, 12), max_size=60))
def test_any_split_gives_the_same_frames(stream: tuple[bytes, Frames], sizes: list[int]) -> None:
    body, frames = stream
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    assert decode(*pieces, body[at:]) == frames


def test_a_long_line_in_many_pieces_costs_linear_work() -> None:
    """A megabyte in small pieces: joined once, not at every piece."""
    decoder = SSEDecoder()
    for _ in range(200_000):
        assert decoder.feed(b"data:x"[:5] if _ == 0 else b"xxxxx") == []
    frames = decoder.feed(b"\n\n")
    assert frames == [("", b"xxxxx" * 199_999)]
