"""`Clients`: two clients of one app, copied with the key and pickled without it."""

from __future__ import annotations

import copy
import pickle

import httpx
import pytest

from dify_api.clients import Clients

_KEY = "app-a-secret"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIFY_API_KEY", "DIFY_DATASET_API_KEY", "DIFY_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_both_clients_have_the_settings() -> None:
    clients = Clients(_KEY, base_url="http://x/v1/", timeout=5, max_retries=7)
    for client in (clients.sync, clients.asynchronous):
        assert client.settings.base_url == "http://x/v1"
        assert client.settings.timeout == httpx.Timeout(5, pool=None)
        assert client.settings.max_retries == 7
        assert client.settings.api_key.get_secret_value() == _KEY
    assert clients.sync is clients.sync
    assert clients.asynchronous is clients.asynchronous


def test_the_key_is_the_first_that_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("DIFY_DATASET_API_KEY", "DIFY_API_KEY")
    with pytest.raises(ValueError, match="no API key"):
        Clients(key_variables=names)
    monkeypatch.setenv("DIFY_API_KEY", "app-1")
    assert Clients(key_variables=names).sync.settings.api_key.get_secret_value() == "app-1"
    monkeypatch.setenv("DIFY_DATASET_API_KEY", "dataset-1")
    assert Clients(key_variables=names).sync.settings.api_key.get_secret_value() == "dataset-1"


def test_copies_keep_the_key_and_share_the_http_client() -> None:
    with httpx.Client() as http_client:
        clients = Clients(_KEY, base_url="http://x/v1", http_client=http_client)
        for copied in (copy.copy(clients), copy.deepcopy(clients)):
            assert copied.sync.settings == clients.sync.settings
            assert copied.sync._http_client is http_client


def test_pickles_hold_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client() as http_client:
        clients = Clients(_KEY, base_url="http://x/v1", http_client=http_client)
        assert clients.sync.settings.base_url == "http://x/v1"
        pickled = pickle.dumps(clients)
    assert _KEY.encode() not in pickled
    assert _KEY not in repr(clients)
    assert _KEY not in repr(vars(clients))
    loaded = pickle.loads(pickled)
    with pytest.raises(ValueError, match="no API key"):
        _ = loaded.sync
    monkeypatch.setenv("DIFY_API_KEY", "app-of-the-environment")
    assert loaded.sync.settings.base_url == "http://x/v1"
    assert loaded.sync.settings.api_key.get_secret_value() == "app-of-the-environment"
