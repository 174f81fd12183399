"""A class and all that are derived from it, for tables that list themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def class_tree(root: type[T]) -> Iterator[type[T]]:
    """Iterate a class and all that are derived from it, each class before its own."""
    yield root
    for derived in root.__subclasses__():
        yield from class_tree(derived)
