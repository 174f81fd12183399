"""The names of the package, which are imported when they are first used."""

from __future__ import annotations

from importlib import import_module
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
