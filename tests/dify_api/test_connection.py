"""`DifyConnection`: one value for both clients and all adapters, copied with the key and pickled
without it."""

from __future__ import annotations

import copy
import itertools
import pickle
import ssl
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
import trustme
from pydantic import SecretStr

from dify_api import AsyncDifyClient, DifyClient, __version__, application
from dify_api._calls.connected import Connected, KnowledgeConnected
from dify_api.connection import Connection, ConnectionOptions
from dify_api.errors import ConnectionFailedError
from tests.support.replay import ReplayServer, Reply

_KEY = "app-a-secret"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIFY_API_KEY", "DIFY_DATASET_API_KEY", "DIFY_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_every_option_is_a_field_and_every_field_an_option() -> None:
    assert {*ConnectionOptions.__annotations__, "api_key"} == set(Connection.model_fields)


def test_both_clients_have_the_connection() -> None:
    connection = Connected.of(_KEY, base_url="http://x/v1/", timeout=5, max_retries=7)
    for client in (connection.client, connection.async_client):
        assert client.connection is connection
        assert client.connection.base_url == "http://x/v1"
        assert client.connection.limits == httpx.Timeout(5, pool=None)
        assert client.connection.max_retries == 7
        assert client.connection.key.get_secret_value() == _KEY


def test_the_key_is_stripped_once_for_all() -> None:
    """Keys in mounted secrets end with a line feed."""
    clean = Connection.of(_KEY)
    for key in (f"{_KEY}\n", SecretStr(f" {_KEY} ")):
        connection = Connection.of(key)
        assert connection.key == clean.key == connection.api_key
        assert connection.app == clean.app


def test_the_key_is_the_first_that_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no API key"):
        KnowledgeConnected.of()
    monkeypatch.setenv("DIFY_API_KEY", "app-1")
    assert KnowledgeConnected.of().key.get_secret_value() == "app-1"
    monkeypatch.setenv("DIFY_DATASET_API_KEY", "dataset-1\n")
    assert KnowledgeConnected.of().key.get_secret_value() == "dataset-1"
    assert Connected.of().key.get_secret_value() == "app-1"


def test_bad_options_are_refused_in_one_line() -> None:
    with pytest.raises(TypeError, match=r"^unexpected argument: headers$"):
        DifyClient(_KEY, headers={})  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"^base_url must be a URL") as raised:
        DifyClient(_KEY, base_url="dify.example/v1")
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match=r"^max_retries: Input should be a valid integer"):
        DifyClient(_KEY, max_retries="many")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        *itertools.product(["timeout", "progress_timeout"], [0, -1, float("nan"), float("inf")]),
        ("timeout", httpx.Timeout(5, read=0)),
        ("turn_timeout", -1),
    ],
)
def test_limits_that_libraries_take_for_none_or_for_nonsense(name: str, seconds: Any) -> None:
    options: Any = {name: seconds}
    with pytest.raises(ValueError, match=rf"{name} must be .*above 0.*None\)? is no limit"):
        Connection.of(_KEY, **options)


def test_not_to_wait_for_a_turn_is_a_limit() -> None:
    assert Connection.of(_KEY, turn_timeout=0).turn_timeout == 0


def test_copies_keep_the_key_and_share_the_http_client() -> None:
    context = ssl.create_default_context()
    with httpx.Client() as http_client:
        made = Connected.of(_KEY, base_url="http://x/v1", http_client=http_client, verify=context)
        for copied in (copy.copy(made), copy.deepcopy(made)):
            assert copied == made
            assert copied.http_client is http_client
            assert copied.verify is context


def test_pickles_hold_no_key_headers_proxy_nor_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client() as http_client:
        made = Connected.of(
            _KEY,
            base_url="http://x/v1",
            http_client=http_client,
            default_headers={"X-Gateway": "header-secret"},
            proxy="http://me:proxy-secret@proxy",
            verify=certifi.where(),
            max_retries=7,
        )
        pickled = pickle.dumps(made)
    for secret in ("app-a-secret", "header-secret", "proxy-secret"):
        assert secret.encode() not in pickled
        assert secret not in f"{made!r} {made.model_dump()} {made.model_dump_json()}"
    loaded = pickle.loads(pickled)
    assert (loaded.base_url, loaded.max_retries, loaded.verify) == (
        "http://x/v1",
        7,
        certifi.where(),
    )
    assert (loaded.default_headers, loaded.proxy, loaded.http_client) == (None, None, None)
    with pytest.raises(ValueError, match="no API key"):
        _ = loaded.client
    monkeypatch.setenv("DIFY_API_KEY", _KEY)
    assert pickle.loads(pickled).client.connection.key.get_secret_value() == _KEY


def test_a_tls_context_stays_out_of_pickles_and_json() -> None:
    made = Connected.of(_KEY, verify=ssl.create_default_context())
    assert pickle.loads(pickle.dumps(made)).verify is True
    assert '"verify":true' in made.model_dump_json()


async def test_every_request_names_the_package_its_version_and_the_adapter() -> None:
    headers = {"content-type": "application/json"}
    with ReplayServer(lambda _: Reply(200, headers, [b"{}"])) as replay:
        DifyClient(_KEY, base_url=replay.base_url).send(application.info())
        await AsyncDifyClient(
            _KEY, base_url=replay.base_url, default_headers={"user-agent": "mine/1"}
        ).send(application.info())
        agents = [request.headers["user-agent"] for request in replay.requests]
    assert agents == [f"dify-adapters/{__version__} (dify_api)", "mine/1"]


async def test_certificates_are_checked_as_the_option_says(tmp_path: Path) -> None:
    authority, visitors = trustme.CA(), trustme.CA()
    bundle = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(bundle))
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    visitors.configure_trust(ours)
    ours.verify_mode = ssl.CERT_OPTIONAL
    with_certificate = ssl.create_default_context(cafile=str(bundle))
    visitors.issue_cert("client.example").configure_cert(with_certificate)

    headers = {"content-type": "application/json"}
    reply = Reply(200, headers, [b'{"name": "Safe"}'])
    with ReplayServer(lambda _: reply, tls=ours) as replay:
        for verify in (False, bundle, str(bundle), with_certificate):
            options: ConnectionOptions = {"base_url": replay.base_url, "verify": verify}
            assert DifyClient(_KEY, **options).send(application.info()).name == "Safe"
            client = AsyncDifyClient(_KEY, **options)
            assert (await client.send(application.info())).name == "Safe"
        strict: ConnectionOptions = {"base_url": replay.base_url, "max_retries": 0}
        with pytest.raises(ConnectionFailedError, match=r"(?i)certificate"):
            DifyClient(_KEY, **strict).send(application.info())
        with pytest.raises(ConnectionFailedError, match=r"(?i)certificate"):
            await AsyncDifyClient(_KEY, **strict).send(application.info())


def test_the_app_is_that_of_a_key_that_is_set_later() -> None:
    connection = Connection.of("app-one")
    before = connection.app
    connection.api_key = SecretStr("app-two")
    assert connection.app == Connection.of("app-two").app != before
