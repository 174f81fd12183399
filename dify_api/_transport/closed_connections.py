"""Connections that servers closed while the event loop was kept from running.

Such a one would be taken for the next request, and fail.
"""

from __future__ import annotations

import asyncio
import time

_JUST = 0.01  # seconds
_noticed = (0, 0.0)  # by which loop, and when


async def notice_closed_connections() -> None:
    """Let the loop hear of them, where it has not just done so: nothing was kept from it then."""
    global _noticed
    loop = id(asyncio.get_running_loop())
    if _noticed[0] == loop and time.monotonic() - _noticed[1] < _JUST:
        return
    await read_what_has_come()
    _noticed = (loop, time.monotonic())


async def read_what_has_come() -> None:
    """Let the loop read what has come: a turn for the end of a connection, one to drop it."""
    for _ in range(3):
        await asyncio.sleep(0)
