"""Progress bars of work on many documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from dify_api._calls.concurrent_flows import Finished

Progress = Callable[[str, int], AbstractContextManager[Finished | None]]
"""Called with what is done and how often; entered, it gives what to call each time."""


@contextmanager
def silent(_what: str, _total: int) -> Iterator[None]:
    """No progress bar."""
    yield None


@contextmanager
def bar(what: str, total: int) -> Iterator[Finished | None]:
    """A progress bar of tqdm, in a terminal or a notebook; none for nothing.

    Raises:
        ImportError: If tqdm is not installed.
    """
    if not total:
        yield None
        return
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped]  # it has no types
    except ImportError:
        raise ImportError("show_progress=True needs tqdm: pip install tqdm") from None
    with tqdm(total=total, desc=what) as shown:
        yield shown.update
