"""Tells when another distribution has written over this package.

PyPI has an unrelated, empty `langchain-dify` whose one file is `langchain_dify/__init__.py`. Then
`from langchain_dify import ChatDify` fails in a file that is not ours, so it can only be told here,
to who imports one of our modules.
"""

from __future__ import annotations

import sys
import warnings

_MESSAGE = (
    "langchain_dify/__init__.py is not the one of dify-adapters, so its names cannot be imported; "
    "the unrelated distribution langchain-dify overwrites it. To mend it: pip uninstall "
    "langchain-dify; pip install --force-reinstall --no-deps dify-adapters"
)


def warn_if_overwritten() -> None:
    """Warn if `langchain_dify/__init__.py` is not ours, which imports names when they are used."""
    if not hasattr(sys.modules["langchain_dify"], "__getattr__"):
        warnings.warn(_MESSAGE, RuntimeWarning, stacklevel=2)
