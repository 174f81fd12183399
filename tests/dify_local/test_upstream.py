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
    content_type = "text/event-stream"
    reply = b""
    hangs = False
    left = threading.Event()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append((self.path, self.headers["authorization"], body))
        self.send_response(self.status)
        self.send_header("content-type", self.content_type)
        self.end_headers()
        self.wfile.write(self.reply)
        if self.hangs:
            self.wfile.flush()
            self.rfile.read(1)  # until the other side leaves
            self.left.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
        return


def said(*pieces: str) -> list[Any]:
    return [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]


def frames(*chunks: Any, done: bool = True) -> bytes:
    lines = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, *["[DONE]"] * done]).encode()


@contextmanager
def model(
    status: int = 200,
    reply: bytes = frames(*said("Saturn ", "wins."), {"choices": []}),
    content_type: str = "text/event-stream",
) -> Iterator[tuple[str, type[Model]]]:
    own = {"requests": [], "status": status, "reply": reply, "content_type": content_type}
    handler = type("Handler", (Model,), own)
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


@contextmanager
def asked(reply: bytes, content_type: str = "text/event-stream") -> Iterator[tuple[Caller, Any]]:
    with (
        model(reply=reply, content_type=content_type) as (url, handler),
        LocalDify(upstream=url, upstream_key="sk-1") as server,
        Caller(server, "chat") as mine,
    ):
        yield mine, handler


def test_raw_line_separators_are_text() -> None:
    with asked(frames(*said("one\u2028two\x85", "three"))) as (mine, _):
        assert text(mine.stream("hello")) == "one\u2028two\x85three"


def test_an_answer_that_comes_whole_is_read() -> None:
    body = {"choices": [{"message": {"content": "All at once."}, "finish_reason": "stop"}]}
    with asked(json.dumps(body).encode(), "application/json") as (mine, _):
        assert text(mine.stream("hello")) == "All at once."


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (frames(*said("one "), {"error": {"message": "sk-1 is tired"}}), "[key] is tired"),
        (frames(*said("one "), done=False), "the stream ended before the answer did"),
        (frames(*said("one "))[:-14] + b"data: {no json\n\n", "no JSON object: '{no json'"),
        (frames([1]), "no JSON object: '[1]'"),
        (
            frames({"choices": [{"delta": {"tool_calls": [{"function": {"name": "add"}}]}}]}),
            "the model called add instead of answering",
        ),
    ],
)
def test_what_is_no_answer_is_an_error_event(reply: bytes, message: str) -> None:
    with asked(reply) as (mine, _):
        error = mine.stream("hello")[-1]
        blocking = mine.client.post("/chat-messages", json=mine.body("hello"))
    assert error["event"] == "error"
    assert error["message"] == f"[models] Bad Response Error, {message}"
    assert blocking.status_code == 400


def test_the_endpoints_count_of_tokens_is_shown() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    with asked(frames(*said("Hi."), {"choices": [], "usage": usage})) as (mine, handler):
        shown = mine.stream("hello")[-1]["metadata"]["usage"]
    assert usage.items() <= shown.items()
    assert shown["total_price"] == "0.0000192"
    assert handler.requests[0][2]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("app", ["chat", "advanced-chat", "workflow"])
def test_images_are_passed_on(app: str) -> None:
    with (
        model() as (url, handler),
        LocalDify(upstream=url) as server,
        Caller(server, app) as mine,
    ):
        upload = {"file": ("a.png", b"png", "image/png")}
        file_id = mine.client.post("/files/upload", data={"user": "ada"}, files=upload).json()["id"]
        local = {"type": "image", "transfer_method": "local_file", "upload_file_id": file_id}
        remote = {"type": "image", "transfer_method": "remote_url", "url": "http://x/b.png"}
        more: dict[str, Any] = {"files": [local, remote]}
        if app == "workflow":
            more = {"inputs": {"document": local, "attachments": [remote]}}
        mine.stream("What is this?", **more)
    images = handler.requests[0][2]["messages"][-1]["content"]
    assert [part["type"] for part in images] == ["image_url", "image_url", "text"]
    assert images[0]["image_url"]["url"] == "data:image/png;base64,cG5n"
    assert images[1]["image_url"]["url"] == "http://x/b.png"
    assert images[2]["text"] == "What is this?"


def test_a_model_that_hangs_is_stopped_and_waited_for_with_pings() -> None:
    with (
        model(reply=frames(*said("one "), done=False)) as (url, handler),
        LocalDify(upstream=url, ping_interval=0.2) as server,
        Caller(server, "chat") as mine,
    ):
        handler.hangs, handler.left = True, threading.Event()
        body = mine.body("hello", response_mode="streaming")
        with mine.client.stream("POST", "/chat-messages", json=body) as response:
            lines = response.iter_lines()
            first = next(line for line in lines if line.startswith("data:"))
            task_id = json.loads(first[6:])["task_id"]
            assert "event: ping" in lines
            mine.client.post(f"/chat-messages/{task_id}/stop", json={"user": "ada"})
            assert any('"message_end"' in line for line in lines)
        assert handler.left.wait(5), "the model is left, too"
