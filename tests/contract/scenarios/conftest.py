"""Scenarios are replayed from `cassettes/dify-RELEASE/scenarios`, or recorded anew.

To record, name a server and pass `--record-mode=rewrite`:

    DIFY_RECORD_BASE_URL        such as http://localhost/v1
    DIFY_RECORD_KEY_CHAT        one key for each mode of app that there is: CHAT, COMPLETION,
                                AGENT_CHAT, ADVANCED_CHAT, WORKFLOW, AGENT; and HUMAN_INPUT and
                                CHATFLOW_HUMAN_INPUT for a workflow and a chatflow that ask a human
    DIFY_RECORD_INPUTS_CHAT     likewise, inputs as JSON; default: made up from the app's form
    DIFY_RECORD_DATASET_KEY     of the knowledge bases
    DIFY_RECORD_DATASET_ID      the knowledge base to search
    DIFY_RECORD_CASSETTES       where they are kept; default: cassettes/

A scenario is written when it has passed; it is skipped, with the reason, where there is no key
for it or the server's release lacks it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest
import vcr

from dify_api import AsyncDifyClient, DifyClient, application
from dify_api.operation import Operation
from tests.contract.scenarios.recording import EXAMPLE, Scrubber, same_endpoint, same_fields
from tests.support.cassettes import ROOT

T = TypeVar("T")
Client = DifyClient | AsyncDifyClient

CASSETTES = Path(os.environ.get("DIFY_RECORD_CASSETTES") or ROOT)

MODES = [
    "chat",
    "completion",
    "agent-chat",
    "advanced-chat",
    "workflow",
    "human-input",  # a workflow that asks a human
    "chatflow-human-input",
    "agent",
]
EXAMPLE_DATASET = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Server:
    """The server of a scenario: a live one, or the recorded ones.

    Attributes:
        base_url: Its API.
        keys: Key of each mode's app, and of the knowledge bases ("dataset").
        dataset_id: A knowledge base with documents.
        is_live: Whether it is there.
    """

    base_url: str
    keys: dict[str, str]
    dataset_id: str
    is_live: bool

    @classmethod
    def recorded(cls) -> Server:
        keys = {mode: f"app-{mode}" for mode in MODES} | {"dataset": "dataset-key"}
        return cls(f"{EXAMPLE}/v1", keys, EXAMPLE_DATASET, is_live=False)

    @classmethod
    def of_environment(cls) -> Server:
        variables = {mode: f"KEY_{_variable(mode)}" for mode in MODES}
        variables["dataset"] = "DATASET_KEY"
        keys = {
            mode: os.environ[f"DIFY_RECORD_{name}"]
            for mode, name in variables.items()
            if os.environ.get(f"DIFY_RECORD_{name}")
        }
        base_url = os.environ.get("DIFY_RECORD_BASE_URL", "").rstrip("/")
        if not base_url or not keys:
            raise pytest.UsageError(f"to record, set DIFY_RECORD_*:\n{__doc__}")
        return cls(base_url, keys, os.environ.get("DIFY_RECORD_DATASET_ID", ""), is_live=True)

    def release(self) -> str:
        """The release of a live server, from the header that every answer of it has."""
        key = next(iter(self.keys.values()))
        reply = httpx.get(f"{self.base_url}/info", headers={"Authorization": f"Bearer {key}"})
        if "x-version" not in reply.headers:
            raise pytest.UsageError(f"{self.base_url} is no Dify server: {reply.status_code}")
        return reply.headers["x-version"]


class Scenario:
    """A conversation with one release's server.

    Attributes:
        release: Such as "1.16.0".
        dataset_id: A knowledge base with documents.
    """

    def __init__(self, server: Server, release: str, is_async: bool) -> None:
        self.release = release
        self.dataset_id = server.dataset_id
        self._server = server
        self._is_async = is_async

    def since(self, release: str, what: str) -> None:
        """Skip the rest where the server is older."""
        if _numbers(self.release) < _numbers(release):
            pytest.skip(f"{self.release} has no {what}: servers since {release}")

    async def needs(self, mode: str, feature: str) -> None:
        """Skip the rest where a live app has a feature of its `parameters` off."""
        if self._server.is_live:
            parameters = await self.send(mode, application.parameters())
            if not getattr(parameters, feature).enabled:
                pytest.skip(f"the {mode} app has {feature} off")

    async def send(self, mode: str, operation: Operation[T]) -> T:
        return await self.ask(mode, lambda client: client.send(operation))

    async def ask(self, mode: str, call: Callable[[Client], T | Awaitable[T]]) -> T:
        """What `call` returns with the client of an app; awaited where that is an asyncio one."""
        if mode not in self._server.keys:
            pytest.skip(f"no key for a {mode} app: set DIFY_RECORD_KEY_...")
        return await self.ask_with(self._server.keys[mode], call)

    async def ask_with(self, key: str, call: Callable[[Client], T | Awaitable[T]]) -> T:
        settings: dict[str, Any] = {"base_url": self._server.base_url, "max_retries": 0}
        if not self._is_async:
            # The sync client returns no awaitables.
            synchronous = cast("Callable[[Client], T]", call)
            return await asyncio.to_thread(synchronous, DifyClient(key, **settings))
        # vcrpy's own aiohttp does not stream. Reading the certificates for each would take long.
        async with httpx.AsyncClient(verify=self._server.is_live) as plain:
            awaited = call(AsyncDifyClient(key, http_async_client=plain, **settings))
            return await cast("Awaitable[T]", awaited)

    async def rest(self) -> None:
        """Give a live server time for what it does in the background."""
        if self._server.is_live:
            await asyncio.sleep(0.5)

    async def inputs(self, mode: str) -> dict[str, Any]:
        """Something for each variable of a live app; recorded ones have been asked already."""
        if not self._server.is_live or mode not in self._server.keys:
            return {}
        if given := os.environ.get(f"DIFY_RECORD_INPUTS_{_variable(mode)}"):
            return json.loads(given)
        form = (await self.send(mode, application.parameters())).user_input_form
        return {item.variable: _value(item) for item in form if item.required}


def _variable(mode: str) -> str:
    return mode.upper().replace("-", "_")


def _value(item: application.UserInputFormItem) -> Any:
    values: dict[str, Any] = {"number": 1, "checkbox": True, "json_object": {}, "file-list": []}
    return item.options[0] if item.options else values.get(item.type, "Saturn")


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in release.split("-")[0].split("."))


def _is_recording(config: pytest.Config) -> bool:
    return config.getoption("--record-mode", default=None) == "rewrite"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" not in metafunc.fixturenames:
        return
    if _is_recording(metafunc.config):
        server = Server.of_environment()
        cases = [(server, server.release(), False)]
    else:
        name = _name(metafunc.definition.name)
        releases = [f.parents[1].name[5:] for f in CASSETTES.glob(f"dify-*/scenarios/{name}.yaml")]
        cases = [
            (Server.recorded(), release, is_async)
            for release in sorted(releases, key=_numbers)
            for is_async in (False, True)
        ]
    metafunc.parametrize(
        "scenario",
        cases,
        indirect=True,
        ids=[f"{release}-{'async' if is_async else 'sync'}" for _, release, is_async in cases],
    )


def _name(test: str) -> str:
    return test.split("[")[0].removeprefix("test_")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


_PASSED = pytest.StashKey[bool]()


@pytest.fixture
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    server, release, is_async = request.param
    cassette = CASSETTES / f"dify-{release}" / "scenarios" / f"{_name(request.node.name)}.yaml"
    names = Server.recorded().keys
    keys = {key: names[mode] for mode, key in server.keys.items()}
    scrubber = Scrubber(server.base_url, keys)
    recorder = vcr.VCR(
        before_record_request=scrubber.request,
        before_record_response=_if_live(server, scrubber.response),
    )
    recorder.register_matcher("endpoint", same_endpoint)
    recorder.register_matcher("fields", same_fields)
    recorder.match_on = ["endpoint", "fields"]
    path = tmp_path / "cassette.yaml" if server.is_live else cassette
    with recorder.use_cassette(str(path), record_mode="all" if server.is_live else "none"):
        yield Scenario(server, release, is_async)
    if server.is_live and request.node.stash.get(_PASSED, False):
        cassette.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, cassette)


def _if_live(server: Server, scrub: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    return scrub if server.is_live else None
