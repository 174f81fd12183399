"""The pytest plugin, in suites as users write them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dify_local import LocalDify

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from dify_local import App

@pytest.fixture(scope="session")
def dify_local_options():
    return {"apps": [App("orders", "chat", answer="Ask me about orders.")], "seed": 1}
"""

PROGRAM = """
import httpx, os

def ask(question):
    response = httpx.post(
        os.environ["DIFY_BASE_URL"] + "/chat-messages",
        json={"inputs": {}, "query": question, "user": "ada"},
        headers={"Authorization": "Bearer " + os.environ["DIFY_API_KEY"]},
    )
    return response.json()["answer"]
"""

SUITE = """
import pytest
from program import ask

def test_an_app_of_ones_own(dify_local):
    assert ask("Hello?") == "Ask me about orders."

def test_a_canned_answer(dify_local):
    dify_local.answer("Where is it?", "On its way.")
    assert ask("Where is it?") == "On its way."
    assert [request.status for request in dify_local.requests] == [200]

def test_nothing_is_left_of_another_test(dify_local):
    assert dify_local.requests == []
    assert ask("Where is it?") == "Ask me about orders."

@pytest.mark.dify_app("chat")
def test_another_app(dify_local):
    assert "Saturn" in ask("Which planet has the most moons?")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\naddopts = --strict-markers -p no:cacheprovider -p no:asyncio")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(program=PROGRAM, test_suite=SUITE)
    pytester.syspathinsert()
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_inprocess("-p", "dify_local.pytest_plugin", "-rs", *arguments)


def test_a_suite_of_a_users(suite: pytest.Pytester) -> None:
    run(suite).assert_outcomes(passed=4)


def test_the_same_tests_on_a_real_server(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalDify() as real:
        real.answer("Hello?", "Ask me about orders.")
        monkeypatch.setenv("DIFY_API_KEY", real.keys["chat"])
        monkeypatch.setenv("DIFY_API_KEY_ORDERS", real.keys["advanced-chat"])
        result = run(suite, "--dify-url", f"{real.base_url}/")
        asked = {request.key for request in real.requests}
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines("*SKIPPED*dify_local.answer is of the local server*")
    assert asked == {"app-chat", "app-advanced-chat"}


def test_a_real_server_without_a_key(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    result = run(suite, "--dify-url", "http://127.0.0.1:9/v1", "-k", "another_app")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "*--dify-url needs DIFY_API_KEY_CHAT or DIFY_API_KEY in the environment*"
    )


def test_pytest_loads_nothing_of_the_server_when_it_starts() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules);"
        "import dify_local.pytest_plugin; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "dify_local.pytest_plugin" in loaded
    heavy = {"starlette", "uvicorn", "pydantic", "httpx", "sqlite3", "asyncio", "yaml"}
    assert heavy.isdisjoint(loaded)
