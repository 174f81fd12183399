"""Bodies that come in chunks (`Transfer-Encoding: chunked`), as those of streams do."""

from __future__ import annotations

_END = b"\r\n"


def whole_chunks(come: bytes) -> tuple[bytes, int]:
    """What has come in whole chunks, and how many of the bytes they take.

    Where tokens come faster than they are read, that saves a read for each. What is no chunk, the
    last one and a part of one are left to whom reads on.

    Args:
        come: The bytes that follow the data of a chunk.
    """
    pieces: list[bytes] = []
    at = 0
    while come.startswith(_END, at):
        begins = come.find(_END, at + 2) + 2
        if begins < 2:
            break
        try:
            size = int(come[at + 2 : begins - 2].split(b";", 1)[0], 16)
        except ValueError:
            break
        if size <= 0 or begins + size > len(come):
            break
        at = begins + size
        pieces.append(come[begins:at])
    return b"".join(pieces), at
