"""The Dify release whose behaviour is shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """A release of Dify.

    Args:
        version: Such as `1.16.0`.

    Raises:
        ValueError: The version does not begin with two numbers.

    Example:
        >>> Release("1.12.1").since(1, 13)
        False
    """

    version: str

    def __post_init__(self) -> None:
        self.since(0, 0)

    def since(self, *release: int) -> bool:
        """Tell whether this release is as new as another."""
        own = tuple(int(part) for part in self.version.split("."))
        if len(own) < 2:
            raise ValueError(f"No release: {self.version}")
        return own >= release

    @property
    def resumable(self) -> bool:
        """Tell whether a worker makes the runs of workflows and chatflows (1.13 and later)."""
        return self.since(1, 13)
