"""Signatures that frameworks ask for on each call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def kept_signature(method: Method) -> Method:
    """Keep a method's signature with it: `inspect` then finds it, and works nothing out again.

    Example:
        >>> @kept_signature
        ... def ask(question: str) -> str: ...
        >>> inspect.signature(ask) is inspect.signature(ask)
        True
    """
    method.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]  # of functions
    return method
