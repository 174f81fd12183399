"""Recorded cassettes, served as an app."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from dify_api import DifyClient, application, chat, workflows
from dify_local import LocalDify
from tests.dify_local.support import CASSETTES, cassette, events_of, text

STREAM = "dify-1.16.0/chat_streaming"


def asked(name: str) -> str:
    recorded = yaml.safe_load((CASSETTES / f"{name}.yaml").read_text())
    return str(json.loads(recorded["interactions"][0]["request"]["body"])["query"])


def test_what_was_asked_is_answered_as_it_was_then(server: LocalDify) -> None:
    key = server.replay(CASSETTES / f"{STREAM}.yaml")
    client = DifyClient(key, base_url=server.base_url)
    question = asked(STREAM)
    recorded = events_of(cassette(STREAM)[1])
    with client.stream(chat.send_message(question, user="somebody else")) as stream:
        events = list(stream)
    assert stream.answer.text == text(recorded)
    assert stream.answer.message_id == recorded[0]["message_id"]
    assert len(events) == len(recorded)
    (request,) = server.requests
    assert (request.status, request.key) == (200, key)


def test_another_question_is_refused_with_what_was_recorded(server: LocalDify) -> None:
    key = server.replay(CASSETTES / f"{STREAM}.yaml")
    client = DifyClient(key, base_url=server.base_url)
    with pytest.raises(Exception, match="No recording answers this") as raised:
        client.send(chat.send_message("Something else?", user="ada"))
    assert repr(asked(STREAM)) in str(raised.value)


def test_what_else_a_client_calls_is_answered_by_a_local_app(server: LocalDify) -> None:
    key = server.replay(CASSETTES / "dify-1.16.0" / "workflow_streaming.yaml", app="mine")
    assert server.keys["mine"] == key
    client = DifyClient(key, base_url=server.base_url)
    assert client.send(application.info()).mode == "workflow"
    client.send(workflows.stop("0f6f0bd5-4d9e-4f3a-8d64-6a7d0a4b9a0c", user="ada"))


def test_exchanges_of_one_address_come_in_order(server: LocalDify, tmp_path: Path) -> None:
    request = {"method": "GET", "uri": "http://dify.example/v1/info?user=a", "body": None}
    bodies = [json.dumps({"name": name, "mode": "chat"}) for name in ("first", "second")]
    cassette = {
        "interactions": [
            {
                "request": request,
                "response": {
                    "status": {"code": 200},
                    "headers": {"Content-Type": ["application/json"]},
                    "body": {"string": body},
                },
            }
            for body in bodies
        ]
    }
    (tmp_path / "several.json").write_text(json.dumps(cassette))
    client = DifyClient(server.replay(tmp_path), base_url=server.base_url)
    names = [client.send(application.info()).name for _ in range(3)]
    assert names == ["first", "second", "second"]
    server.clear()
    assert "recorded" not in server.keys


def test_what_is_no_cassette(server: LocalDify, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No cassettes in"):
        server.replay(tmp_path)
    (tmp_path / "a.yaml").write_text("a: 1")
    with pytest.raises(ValueError, match=r"a\.yaml is no cassette: KeyError"):
        server.replay(tmp_path)
