"""What an installation gives, and what importing costs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

import dify_api
from dify_local import LocalDify
from tests.support.examples import EXAMPLES
from tests.support.forking import ROOT, Framework, run_forked

pytestmark = pytest.mark.slow

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest's own there

OURS = {"dify_api", "dify_batch", "dify_local", "langchain_dify", "llama_index_dify"}


FRAMEWORKS: dict[str, Framework] = {
    "langchain_dify": "langchain",
    "llama_index_dify": "llama_index",
}


def run(code: str, package: str | None = None) -> str:
    """What code prints; with the framework of a package imported beforehand, if it is told."""
    if package in FRAMEWORKS:
        done = run_forked(FRAMEWORKS[package], code)
    else:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
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
        ("dify_batch", ["langchain_core", "llama_index", "rich", "pyarrow", "ray"], "run, Limits"),
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


@pytest.mark.parametrize(
    ("statement", "needless"),
    [
        (
            "from langchain_dify import ChatDify",
            {"dify_api.client", "dify_api.answers.events", "dify_api.errors", "dify_api.models"},
        ),
        (
            "from llama_index_dify import Dify",
            {"httpx", "dify_api.client", "dify_api.answers.events", "dify_api.errors"},
        ),
        (
            "from dify_local import LocalDify",
            {"httpx", "html.parser", "dify_local._http.routes.knowledge.datasets"},
        ),
    ],
    ids=["ChatDify", "Dify", "LocalDify"],
)
def test_a_class_loads_nothing_that_it_runs_with_later(statement: str, needless: set[str]) -> None:
    loaded = run(f"import sys; {statement}; print(*sys.modules)").split()
    assert needless.isdisjoint(loaded)


_FIRST_CALLS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
{imports}
model = {model}(api_key=sys.argv[1], base_url=sys.argv[2])
barrier = Barrier(8)

def ask(number):
    barrier.wait()
    return {answer}

sys.setswitchinterval(1e-5)
with ThreadPoolExecutor(8) as pool:
    print(*pool.map(ask, range(8)))
"""


@pytest.mark.parametrize(
    ("imports", "model", "answer"),
    [
        (
            "from langchain_dify import ChatDify",
            "ChatDify",
            "model.invoke(f'/echo {number}').content",
        ),
        (
            "from llama_index_dify import Dify",
            "Dify",
            "model.complete(f'/echo {number}').text",
        ),
    ],
    ids=["ChatDify", "Dify"],
)
def test_threads_can_make_the_first_call_at_once(imports: str, model: str, answer: str) -> None:
    code = _FIRST_CALLS.format(imports=imports, model=model, answer=answer)
    with LocalDify() as server:
        arguments = [server.keys["chat"], server.base_url]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(number) for number in range(8)]


def test_a_stored_message_shows_its_citations_before_any_call() -> None:
    resource = {"segment_id": "s-1", "document_name": "saturn.md", "content": "274 moons"}
    metadata = {"model_provider": "dify", "retriever_resources": [resource]}
    shown = run(
        "from langchain_dify import ChatDify\n"
        "from langchain_core.messages import AIMessage\n"
        f"message = AIMessage('Saturn.', response_metadata={metadata})\n"
        "print(message.content_blocks[0]['annotations'][0]['title'])"
    )
    assert shown.strip() == "saturn.md"


def test_a_client_loads_neither_aiohttp_nor_tenacity_before_its_first_call() -> None:
    loaded = run(
        "import sys; from dify_api import AsyncDifyClient, DifyClient;"
        "DifyClient('app-x'); AsyncDifyClient('app-x'); print(*sys.modules)"
    ).split()
    assert {"aiohttp", "tenacity", "httpx2"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    "package", ["langchain_dify", "llama_index_dify", "dify_api", "dify_batch", "dify_local"]
)
def test_every_public_name_can_be_imported(package: str) -> None:
    run(
        f"import {package} as package\n"
        "for name in package.__all__:\n"
        "    assert getattr(package, name) is not None, name\n",
        package,
    )


def test_the_packages_say_that_they_are_typed() -> None:
    run(
        "from importlib.resources import files\n"
        "for name in ('dify_api', 'dify_batch', 'langchain_dify', 'llama_index_dify', "
        "'dify_local'):\n"
        "    assert (files(name) / 'py.typed').is_file(), name\n"
    )


@pytest.mark.parametrize("package", ["langchain_dify", "llama_index_dify"])
def test_no_public_name_is_hidden_by_a_module_of_the_same_name(package: str) -> None:
    run(
        f"import importlib, pkgutil, types, {package} as package\n"
        "for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "for name in package.__all__:\n"
        "    assert not isinstance(getattr(package, name), types.ModuleType), name\n",
        package,
    )


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert version("dify-adapters") == dify_api.__version__


def declared(extra: str) -> set[str]:
    """The distributions that `dify-adapters[extra]` names, its own extras followed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = set(project["dependencies"])
    for requirement in project["optional-dependencies"][extra]:
        own = re.fullmatch(r"dify-adapters\[(.+)\]", requirement)
        found.update(*map(declared, own[1].split(",")) if own else [{requirement}])
    return {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in found}


@cache
def installed() -> Mapping[str, list[str]]:
    """The distributions that provide each top-level package; finding out takes half a second."""
    return packages_distributions()


def imports_of(example: Path) -> set[str]:
    """The top-level packages that an example imports, less those of the standard library."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(example.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_an_example_needs_no_more_than_its_extra(example: Path) -> None:
    """Each runs alone, wherever it is copied to, after `pip install "dify-adapters[examples]"`."""
    extra = "chainlit" if example.stem == "chainlit_chat" else "examples"
    for package in imports_of(example) - OURS:
        providers = {name.lower() for name in installed().get(package, [package])}
        assert providers & declared(extra), f"{package} of {example.name}"


def test_on_pypi_the_readme_leads_into_the_repository() -> None:
    """With the substitutions that the build makes; its links are relative where it lies."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    text = (ROOT / "README.md").read_text()
    for substitution in tool["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(substitution["pattern"], substitution["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert all(link.startswith("https://") for link in links)
    assert "/dify-adapters/main/docs/images/answer.svg" in text
    assert "/dify-adapters/blob/main/docs/streaming.md" in text


def test_an_overwritten_package_says_so(tmp_path: Path) -> None:
    """As the unrelated distribution `langchain-dify` does: it has one file, and that is empty."""
    shutil.copytree(ROOT / "langchain_dify", tmp_path / "langchain_dify")
    (tmp_path / "langchain_dify" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "from langchain_dify.chat_models import ChatDify"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "RuntimeWarning: langchain_dify/__init__.py is not the one of dify-ad" in done.stderr
    assert "pip uninstall langchain-dify" in done.stderr


def test_a_package_of_its_own_is_silent() -> None:
    run(
        "import warnings; warnings.simplefilter('error', RuntimeWarning)\n"
        "from langchain_dify.chat_models import ChatDify\n"
    )
