"""httpx, or httpx2, its successor with types of its own: the one place that tells them apart.

Their interfaces are the same, so that inside this package httpx's types stand for those of both.
Neither is imported before something of it is used.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator

_NAMES = ("httpx", "httpx2")
_VARIABLE = "DIFY_HTTP_LIBRARY"


@lru_cache(maxsize=1)
def shared_library() -> ModuleType:
    """What the shared clients are made of: httpx2 where it is installed, else httpx.

    The environment variable `DIFY_HTTP_LIBRARY` says otherwise.

    Raises:
        ValueError: If the variable names neither, or one that is not installed.
    """
    name = os.environ.get(_VARIABLE) or ("httpx2" if find_spec("httpx2") else "httpx")
    if name not in _NAMES:
        raise ValueError(f"{_VARIABLE} must be httpx or httpx2, not {name!r}")
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(
            f'{_VARIABLE} is {name}, which is not installed: pip install "dify-adapters[{name}]"'
        ) from error


def http_errors(*names: str) -> tuple[type[Exception], ...]:
    """The errors of these names, of the libraries that are in use."""
    return _in_use(*names)


def _in_use(*names: str) -> tuple[type[Any], ...]:
    modules = [sys.modules[name] for name in _NAMES if name in sys.modules]
    # One that another thread is importing may lack them still.
    found = [getattr(module, name, None) for module in modules for name in names]
    return tuple(kind for kind in found if kind is not None)


def _sync_client(value: object) -> object:
    if isinstance(value, _in_use("AsyncClient")):
        raise ValueError("http_client is for sync calls: give it as http_async_client")
    if not isinstance(value, _in_use("Client")):
        raise ValueError(f"http_client must be a Client of httpx or httpx2, not {_kind(value)}")
    return value


def _async_client(value: object) -> object:
    if isinstance(value, _in_use("Client")):
        raise ValueError("http_async_client is for async calls: give it as http_client")
    if not isinstance(value, _in_use("AsyncClient")):
        raise ValueError(
            f"http_async_client must be an AsyncClient of httpx or httpx2, not {_kind(value)}"
        )
    return value


def _timeout(value: Any) -> httpx.Timeout:
    """As httpx's own: httpx2's is a dataclass, which pydantic would take apart."""
    import httpx

    if not isinstance(value, _in_use("Timeout")):
        raise ValueError(f"timeout must be seconds, or a Timeout of httpx, not {_kind(value)}")
    return value if isinstance(value, httpx.Timeout) else httpx.Timeout(**value.as_dict())


def _kind(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    module = kind.__module__.partition(".")[0]
    name = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    return f"the class {name}" if isinstance(value, type) else name


if TYPE_CHECKING:
    import httpx
    import httpx2

    HTTPClient: TypeAlias = httpx.Client | httpx2.Client
    AsyncHTTPClient: TypeAlias = httpx.AsyncClient | httpx2.AsyncClient
    Timeout: TypeAlias = httpx.Timeout | httpx2.Timeout
else:
    HTTPClient = Annotated[Any, AfterValidator(_sync_client)]
    AsyncHTTPClient = Annotated[Any, AfterValidator(_async_client)]
    Timeout = Annotated[Any, AfterValidator(_timeout)]
