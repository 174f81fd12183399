"""The pytest plugin: a fixture `dify_local`, and `--dify-url` to use a real server instead.

Pytest loads it by itself where `dify-adapters` is installed. The server itself is imported when a
test asks for it.

Example:
    >>> def test_my_program(dify_local):
    ...     dify_local.answer("Where is my order?", "On its way.")
    ...     assert my_program("Where is my order?") == "On its way."
    ...     assert dify_local.requests[0].json["user"] == "ada"
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from dify_local.server import LocalDify


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--dify-url`."""
    parser.getgroup("dify").addoption(
        "--dify-url",
        metavar="URL",
        help="base URL of a real Dify server for the fixture dify_local, such as "
        "https://api.dify.ai/v1; keys are read from DIFY_API_KEY_<NAME OF THE APP>, "
        "or from DIFY_API_KEY",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "dify_app(name): the app of dify_local whose key DIFY_API_KEY holds"
    )


@pytest.fixture(scope="session")
def dify_local_options() -> dict[str, Any]:
    """Return the arguments of the session's `LocalDify`; override it to give it apps of yours."""
    return {}


@pytest.fixture(scope="session")
def _dify_server(
    request: pytest.FixtureRequest, dify_local_options: dict[str, Any]
) -> Iterator[LocalDify]:
    url = request.config.getoption("dify_url")
    if url:
        yield cast("LocalDify", _RealDify(url))
        return
    try:
        from dify_local.server import LocalDify
    except ImportError as error:
        pytest.fail(
            f'The fixture dify_local needs pip install "dify-adapters[local]": {error}',
            pytrace=False,
        )
    with LocalDify(**dify_local_options) as server:
        yield server


@pytest.fixture
def dify_local(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    _dify_server: LocalDify,
    dify_local_options: dict[str, Any],
) -> LocalDify:
    """Return the session's local server, which has forgotten what was before.

    `DIFY_BASE_URL` and `DIFY_API_KEY` name it and an app while the test runs: that of the marker
    `dify_app`, or the first of `dify_local_options["apps"]`, or `chat`.

    With `--dify-url` it stands for a real server: it has `base_url`, `keys`, `dataset_key` and
    `dataset_id`; a test that asks it for anything else, such as a canned answer, is skipped.
    """
    _dify_server.clear()
    marker = request.node.get_closest_marker("dify_app")
    own = [app.name for app in dify_local_options.get("apps", ())]
    app = marker.args[0] if marker else [*own, "chat"][0]
    monkeypatch.setenv("DIFY_BASE_URL", _dify_server.base_url)
    monkeypatch.setenv("DIFY_API_KEY", _dify_server.keys[app])
    return _dify_server


class _Keys(Mapping[str, str]):
    """The API keys of a real server's apps, as the environment has them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._keys = {
            name: key for name, key in environment.items() if name.startswith("DIFY_API_KEY")
        }

    def __getitem__(self, app: str) -> str:
        name = "".join(letter if letter.isalnum() else "_" for letter in app).upper()
        return _first_of(self._keys, f"DIFY_API_KEY_{name}", "DIFY_API_KEY")

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<keys of {', '.join(self._keys)}>"


class _RealDify:
    """A real server in the place of the local one."""

    def __init__(self, url: str) -> None:
        self.base_url = url.rstrip("/")
        # The environment of the session: the fixture sets another key in it for each test.
        self.keys = _Keys(os.environ)

    @property
    def dataset_key(self) -> str:
        return _first_of(os.environ, "DIFY_DATASET_API_KEY")

    @property
    def dataset_id(self) -> str:
        return _first_of(os.environ, "DIFY_DATASET_ID")

    def clear(self) -> None:
        """Leave a real server as it is."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        pytest.skip(f"dify_local.{name} is of the local server; --dify-url names a real one")


def _first_of(environment: Mapping[str, str], *names: str) -> str:
    for name in names:
        if environment.get(name):
            return environment[name]
    pytest.fail(f"--dify-url needs {' or '.join(names)} in the environment", pytrace=False)
