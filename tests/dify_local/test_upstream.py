from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dify_local import LocalDify
from tests.dify_local.support import Caller, text


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that says one sentence."""

    requests: list[tuple[str, str | None, dict[str, Any]]] = []
    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append((self.path, self.headers["authorization"], body))
        self.send_response(self.status)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for piece in ("Saturn ", "wins."):
            delta = {"choices": [{"delta": {"content": piece}}]}
            self.wfile.write(f"data: {json.dumps(delta)}\n\n".encode())
        self.wfile.write(b'data: {"choices": []}\n\ndata: [DONE]\n\n')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        return


@contextmanager
def model(status: int = 200) -> Iterator[tuple[str, type[Model]]]:
    handler = type("Handler", (Model,), {"requests": [], "status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_answers_with_what_was_retrieved() -> None:
    with (
        model() as (url, handler),
        LocalDify(upstream=url, upstream_key="sk-1", upstream_model="tiny") as server,
        Caller(server, "chat") as mine,
    ):
        first = mine.stream("Which planet has the most moons?")
        mine.ask("Are you sure?", conversation_id=first[0]["conversation_id"])
    assert text(first) == "Saturn wins."
    assert first[-1]["metadata"]["retriever_resources"][0]["document_name"] == "saturn.md"
    path, key, body = handler.requests[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer sk-1", "tiny")
    assert "274 moons" in body["messages"][0]["content"]
    history = [message["role"] for message in handler.requests[1][2]["messages"]]
    assert history[-3:] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate_limit_error"), (500, "completion_request_error")]
)
def test_its_refusal_is_an_error_event(status: int, code: str) -> None:
    with (
        model(status) as (url, _),
        LocalDify(upstream=url) as server,
        Caller(server, "chat") as mine,
    ):
        assert mine.stream("hello")[-1]["code"] == code


def test_an_unreachable_model_is_an_error_event() -> None:
    with LocalDify(upstream="http://127.0.0.1:9/v1") as server, Caller(server, "chat") as mine:
        error = mine.stream("hello")[-1]
    assert error["message"] == "[models] Connection Error, ConnectError"
