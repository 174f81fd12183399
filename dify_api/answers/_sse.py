"""Server-sent events: bytes in, frames out. Knows no I/O and no Dify."""

from __future__ import annotations

_NEWLINES = b"\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SSEDecoder:
    r"""An incremental decoder of an event stream, fed with pieces of any size.

    Lines end at byte LF, CR LF or CR as the standard says, and nowhere else: Dify sends U+2028
    and U+0085 raw inside its JSON (1.8.1 and later), where `str.splitlines` and
    `httpx.Response.iter_lines` would cut. Decoding of characters is left to the JSON parser,
    so a piece may end inside a UTF-8 sequence.

    Example:
        >>> decoder = SSEDecoder()
        >>> decoder.feed(b'data: {"event"')
        []
        >>> decoder.feed(b': "ping"}\n\n')
        [('', b'{"event": "ping"}')]
    """

    __slots__ = ("_data", "_event", "_rest")

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # pieces of a line whose end has not come yet
        self._event = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """Take the next bytes of the body and return the frames that they complete.

        Args:
            piece: Bytes as they came from the socket.

        Returns:
            For each completed frame its `event:` name ("" where it has none) and its data, the
            `data:` lines joined by LF. A frame without data is returned only where it is named
            (Dify's `event: ping` has no data line).
        """
        if not self._rest and not self._data and not self._event and _is_single_frame(piece):
            return [("", piece[6:-2])]  # one event in one HTTP chunk, as Dify sends them
        if b"\n" not in piece and b"\r" not in piece:
            self._rest.append(piece)  # joined only when the line ends: linear in its length
            return []
        text = b"".join((*self._rest, piece)) if self._rest else piece
        if b"\r" in text:
            text, held = _normalise_newlines(text)
        else:
            held = b""
        *lines, rest = text.split(b"\n")
        self._rest = [rest + held] if rest or held else []
        return self._take(lines)

    def flush(self) -> list[tuple[str, bytes]]:
        """Return the frame that the end of the body left without its blank line, if any.

        The standard drops it; 2023 servers and proxies leave errors there, so it is kept.
        """
        rest = b"".join(self._rest).rstrip(_NEWLINES)
        self._rest = []
        return self._take([rest, b""])

    def _take(self, lines: list[bytes]) -> list[tuple[str, bytes]]:
        frames: list[tuple[str, bytes]] = []
        for line in lines:
            if not line:
                if self._data or self._event:
                    name = self._event.decode("utf-8", "replace")
                    frames.append((name, b"\n".join(self._data)))
                    self._data, self._event = [], b""
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif line.startswith(b"{"):
                self._data.append(line)  # a bare JSON error written into the stream by a proxy
            elif line.startswith(_BYTE_ORDER_MARK):  # some proxies begin a text with one
                frames += self._take([line[len(_BYTE_ORDER_MARK) :]])
        return frames


_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


def begins_like_stream(body: bytes | bytearray) -> bool:
    """Whether the first bytes of a body are those of an event stream, and of nothing else."""
    return body[:100].lstrip(_NEWLINES + b" " + _BYTE_ORDER_MARK).startswith(_FIELDS)


def _is_single_frame(piece: bytes) -> bool:
    return (
        piece.startswith(b"data: ")
        and piece.endswith(b"\n\n")
        and piece.find(b"\n") == len(piece) - 2
        and b"\r" not in piece
    )


def _normalise_newlines(text: bytes) -> tuple[bytes, bytes]:
    """CR LF and CR to LF; a CR at the very end is held back, for its LF may be under way."""
    held = b"\r" if text.endswith(b"\r") else b""
    if held:
        text = text[:-1]
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), held
