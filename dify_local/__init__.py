"""A Dify-compatible server in one process: for offline work, demonstrations, tests and load.

Its apps answer from documents about the solar system, or from those of any folder. For tests,
queries may hold directives (`dify_local.directives`), and requests go wrong on demand
(`dify_local.faults`).

Example:
    >>> from dify_local import LocalDify
    >>> with LocalDify() as server:
    ...     server.base_url.endswith("/v1")
    True
"""

from dify_local.journal import RecordedRequest
from dify_local.server import LocalDify

__all__ = ["LocalDify", "RecordedRequest"]
