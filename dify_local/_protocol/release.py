"""The Dify release whose behaviour is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass

# 1.0 followed on 0.15.
_OLDEST, _FIRST_OF_ONE, _NEWEST = (0, 15), (1, 0), (1, 17)


@dataclass(frozen=True)
class Release:
    """A release of Dify.

    Args:
        version: Such as `1.16.0`.

    Raises:
        ValueError: This is no release that the server can behave as.

    Example:
        >>> Release("1.12.1").since(1, 13)
        False
    """

    version: str

    def __post_init__(self) -> None:
        known = re.fullmatch(r"\d+\.\d+(\.\d+)?", self.version) and (
            self._numbers()[:2] == _OLDEST or _FIRST_OF_ONE <= self._numbers()[:2] <= _NEWEST
        )
        if not known:
            raise ValueError(
                f"No release {self.version!r}: this server behaves as Dify 0.15, or 1.0 to 1.17"
            )

    def _numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    def since(self, *release: int) -> bool:
        """Tell whether this release is as new as another."""
        return self._numbers() >= release

    @property
    def resumable(self) -> bool:
        """Tell whether a worker makes the runs of workflows and chatflows (1.13 and later)."""
        return self.since(1, 13)
