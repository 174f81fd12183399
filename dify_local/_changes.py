"""Notices that files have changed, by looking."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_State = dict[Path, tuple[int, int]]


class Changes:
    """The changes of some files, and of all files in some folders.

    Args:
        paths: Files and folders; they need not be there.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self._paths = [Path(path) for path in paths]
        self._state = self._look()

    def since_last(self) -> str:
        """Return the name of a file that came, went or changed since the last call, or ""."""
        before, self._state = self._state, self._look()
        different = {name for name, _ in before.items() ^ self._state.items()}
        return min(path.name for path in different) if different else ""

    def _look(self) -> _State:
        state: _State = {}
        for path in self._paths:
            for file in [*path.rglob("*")] if path.is_dir() else [path]:
                try:
                    found = file.stat()
                except OSError:
                    continue  # gone
                if not file.is_dir():
                    state[file] = (found.st_mtime_ns, found.st_size)
        return state
