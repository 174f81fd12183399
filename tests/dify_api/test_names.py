"""The names of the package, which are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import dify_api
from dify_api._lazy import LazyModule

_OF_PACKAGE = {"errors", "events"}


def test_every_name_is_there() -> None:
    for name in dify_api.__all__:
        value = getattr(dify_api, name)
        if name[0].islower() and name not in _OF_PACKAGE:
            assert value is import_module(f"dify_api.endpoints.{name}")
    assert isinstance(dify_api.errors, ModuleType)
    assert isinstance(dify_api.events, ModuleType)
    assert set(dir(dify_api)) == set(dify_api.__all__)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'planets'"):
        dify_api.planets  # noqa: B018  # there is none


def test_a_lazy_module_has_the_names_of_its_module() -> None:
    lazy = LazyModule("dify_api.client")
    assert lazy.AsyncDifyClient is dify_api.AsyncDifyClient
    assert vars(lazy)["DifyClient"] is dify_api.DifyClient  # nothing is asked for twice
    with pytest.raises(AttributeError, match="has no attribute 'planets'"):
        lazy.planets  # noqa: B018  # there is none


THREADS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
import dify_api._transport.pools
sys.setswitchinterval(1e-6)
start = threading.Barrier(2)
def first(name):
    start.wait()
    import_module(name)
with ThreadPoolExecutor(2) as pool:
    list(pool.map(first, ["urllib3", "dify_api._transport.connection_pool"]))
"""


ERRORS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
start = threading.Barrier(2)
def first(name):
    start.wait()
    return import_module(name)
with ThreadPoolExecutor(2) as pool:
    part, errors = pool.map(first, ["dify_api.knowledge_errors", "dify_api.errors"])
assert errors.IndexingError is part.IndexingError
assert not hasattr(errors, "Mapping")
"""


@pytest.mark.parametrize("code", [THREADS, ERRORS], ids=["urllib3", "errors"])
def test_threads_import_what_is_imported_by_others_first(code: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
