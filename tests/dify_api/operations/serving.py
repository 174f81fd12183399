"""Short cuts: one made-up reply, sent over a real socket and read by the client."""

from __future__ import annotations

import json
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from dify_api import Answer, DifyClient, chat
from dify_api.operation import Operation
from tests.support.replay import Received, ReplayServer, Reply

T = TypeVar("T")

ID = "00000000-0000-4000-8000-000000000001"


def json_reply(body: Any, status: int = 200) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return Reply(status, {"content-type": "application/json"}, [text.encode()])


def stream_reply(*frames: dict[str, Any] | str) -> Reply:
    """Frames as Dify sends them; a string goes out as it is."""
    texts = [
        frame if isinstance(frame, str) else f"data: {json.dumps(frame)}\n\n" for frame in frames
    ]
    return Reply(200, {"content-type": "text/event-stream"}, [text.encode() for text in texts])


def send(operation: Operation[T], *replies: Reply, requests: list[Received] | None = None) -> T:
    """Send an operation to a server that gives `replies` in turn; note what it received."""
    waiting = iter(replies)
    with ReplayServer(lambda _: next(waiting), stops=False) as server:
        try:
            return DifyClient("app-test", base_url=server.base_url, max_retries=0).send(operation)
        finally:
            if requests is not None:
                requests.extend(server.requests)


def receive(operation: Operation[T], body: Any, status: int = 200) -> T:
    """The result of a JSON reply."""
    return send(operation, json_reply(body, status))


def answer_of(*frames: dict[str, Any] | str) -> Answer:
    """The answer of a chat stream."""
    return send(chat.send_message("Hello", user="ann"), stream_reply(*frames))


def request_of(operation: Operation[Any], body: Any = None) -> Received:
    """The request that an operation makes."""
    requests: list[Received] = []
    send(operation, json_reply({} if body is None else body), requests=requests)
    return requests[0]


def query_of(request: Received) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.path).query, keep_blank_values=True)


def form_of(request: Received) -> dict[str, EmailMessage]:
    """The parts of a multipart request by name."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    parsed = BytesParser(_class=EmailMessage, policy=HTTP).parsebytes(head + request.body)
    return {
        str(part.get_param("name", header="content-disposition")): part
        for part in parsed.iter_parts()
    }
