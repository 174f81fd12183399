"""What an installation gives, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


WITHOUT = """
import sys
for name in {absent!r}:
    sys.modules[name] = None  # as if it were not installed
"""


@pytest.mark.parametrize(
    ("package", "absent", "names"),
    [
        ("langchain_dify", ["llama_index", "starlette"], "ChatDify, DifyLLM, citations"),
        ("llama_index_dify", ["langchain_core", "starlette"], "Dify, DifyCompletion"),
        ("dify_api", ["langchain_core", "llama_index", "starlette"], "DifyClient, chat"),
        ("dify_local", ["langchain_core", "llama_index", "dify_api"], "LocalDify"),
    ],
)
def test_each_package_stands_alone(package: str, absent: list[str], names: str) -> None:
    run(WITHOUT.format(absent=absent) + f"from {package} import {names}")


@pytest.mark.parametrize("package", ["langchain_dify", "llama_index_dify"])
def test_importing_an_adapter_costs_nothing_until_it_is_used(package: str) -> None:
    loaded = run(f"import sys, {package}; print(*sys.modules)").split()
    heavy = {"httpx", "aiohttp", "tenacity", "langchain_core", "llama_index.core", "pydantic"}
    assert heavy.isdisjoint(loaded)


def test_a_client_loads_neither_aiohttp_nor_tenacity_before_its_first_call() -> None:
    loaded = run(
        "import sys; from dify_api import AsyncDifyClient, DifyClient;"
        "DifyClient('app-x'); AsyncDifyClient('app-x'); print(*sys.modules)"
    ).split()
    assert {"aiohttp", "tenacity"}.isdisjoint(loaded)


@pytest.mark.parametrize("package", ["langchain_dify", "llama_index_dify", "dify_api"])
def test_every_public_name_can_be_imported(package: str) -> None:
    run(
        f"import {package} as package\n"
        "for name in package.__all__:\n"
        "    assert getattr(package, name) is not None, name\n"
    )


def test_the_packages_say_that_they_are_typed() -> None:
    run(
        "from importlib.resources import files\n"
        "for name in ('dify_api', 'langchain_dify', 'llama_index_dify', 'dify_local'):\n"
        "    assert (files(name) / 'py.typed').is_file(), name\n"
    )


@pytest.mark.parametrize("package", ["langchain_dify", "llama_index_dify"])
def test_no_public_name_is_hidden_by_a_module_of_the_same_name(package: str) -> None:
    run(
        f"import importlib, pkgutil, types, {package} as package\n"
        "for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "for name in package.__all__:\n"
        "    assert not isinstance(getattr(package, name), types.ModuleType), name\n"
    )
