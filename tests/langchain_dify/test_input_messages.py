"""Files of messages, in every notation of LangChain's."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage

from dify_local import LocalDify
from langchain_dify import ChatDify

Models = Callable[..., ChatDify]

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DATA = base64.b64encode(PIXEL).decode()
URL = "https://example.com/moon.png"
UPLOADED = "5e4d6b1c-0d6e-4c52-9d0c-2f1c3f6d7a10"


def ask(model: ChatDify, server: LocalDify, *blocks: Any) -> dict[str, Any]:
    """Send blocks with a text; return the request's body."""
    model.invoke([HumanMessage([{"type": "text", "text": "/echo seen"}, *blocks])])
    return server.requests[-1].json


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "image", "url": URL}, "image"),
        ({"type": "image_url", "image_url": {"url": URL}}, "image"),
        ({"type": "image", "source_type": "url", "url": URL}, "image"),
        ({"type": "audio", "url": "https://example.com/a.mp3"}, "audio"),
        ({"type": "video", "url": "https://example.com/a.mp4"}, "video"),
        ({"type": "file", "url": "https://example.com/a.pdf"}, "document"),
        ({"type": "file", "url": "https://example.com/x", "mime_type": "image/png"}, "image"),
        ({"type": "text-plain", "url": "https://example.com/a.txt"}, "document"),
    ],
    ids=str,
)
def test_addresses_are_fetched_by_the_server(
    block: dict[str, Any], kind: str, chat: Models, server: LocalDify
) -> None:
    sent = ask(chat(), server, block)
    url = block.get("url") or block["image_url"]["url"]
    assert sent["files"] == [{"type": kind, "transfer_method": "remote_url", "url": url}]
    assert sent["query"] == "/echo seen"


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "image", "base64": DATA, "mime_type": "image/png"}, "image"),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}, "image"),
        (
            {"type": "image", "source_type": "base64", "data": DATA, "mime_type": "image/png"},
            "image",
        ),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": DATA},
            },
            "image",
        ),
        ({"type": "audio", "base64": DATA, "mime_type": "audio/wav"}, "audio"),
        ({"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}, "audio"),
        ({"type": "video", "base64": DATA, "mime_type": "video/mp4"}, "video"),
        ({"type": "file", "base64": DATA, "mime_type": "application/pdf"}, "document"),
        (
            {
                "type": "file",
                "file": {
                    "filename": "a.pdf",
                    "file_data": f"data:application/pdf;base64,{DATA}",
                },
            },
            "document",
        ),
        ({"type": "text-plain", "base64": DATA, "mime_type": "text/plain"}, "document"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["type"],
)
def test_data_is_uploaded_first(
    block: dict[str, Any], kind: str, chat: Models, server: LocalDify
) -> None:
    sent = ask(chat(), server, block)
    upload, message = server.requests
    assert upload.path.endswith("/files/upload")
    (file,) = message.json["files"]
    assert (file["type"], file["transfer_method"]) == (kind, "local_file")
    assert file["upload_file_id"]
    assert sent["user"] == "ann"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "file_id": UPLOADED},
        {"type": "image", "source_type": "id", "id": UPLOADED},
    ],
    ids=str,
)
async def test_ids_of_uploads_pass_as_they_are(
    block: dict[str, Any], chat: Models, server: LocalDify
) -> None:
    model = chat()
    server.fault("status", status=418, path="/chat-messages")  # the id is of no upload there
    with pytest.raises(Exception, match="418"):
        await model.ainvoke([HumanMessage([{"type": "text", "text": "Look"}, block])])
    assert server.requests[-1].json["files"] == [
        {"type": "image", "transfer_method": "local_file", "upload_file_id": UPLOADED}
    ]


async def test_a_file_is_uploaded_once_per_call(chat: Models, server: LocalDify) -> None:
    image = {"type": "image", "base64": DATA, "mime_type": "image/png"}
    messages = [
        HumanMessage([{"type": "text", "text": "One"}, image]),
        ToolMessage([{"type": "text", "text": "a picture"}, image], tool_call_id="1"),
        HumanMessage([{"type": "text", "text": "/echo two"}, image]),
    ]
    await chat().ainvoke(messages)
    assert [request.path.rsplit("/", 1)[-1] for request in server.requests] == [
        "upload",
        "chat-messages",
    ]
    assert len(server.requests[-1].json["files"]) == 1


def test_files_before_the_last_answer_are_not_sent_again(chat: Models, server: LocalDify) -> None:
    image = {"type": "image", "url": URL}
    model = chat()
    question = HumanMessage([{"type": "text", "text": "/echo one"}, image])
    answer = model.invoke([question])
    model.invoke([question, answer, HumanMessage("/echo two")])
    assert "files" not in server.requests[-1].json


def test_files_of_the_call_go_along_as_they_are(chat: Models, server: LocalDify) -> None:
    file = {"type": "document", "transfer_method": "remote_url", "url": "https://example.com/a.md"}
    chat().invoke("/echo hi", files=[file])
    assert server.requests[-1].json["files"] == [file]


def test_a_message_of_files_alone(chat: Models, server: LocalDify) -> None:
    chat().invoke([HumanMessage([{"type": "image", "url": URL}])])
    assert server.requests[-1].json["query"].strip() == ""
    assert len(server.requests[-1].json["files"]) == 1


def test_plain_text_documents_are_written_into_the_query(chat: Models, server: LocalDify) -> None:
    document = {"type": "text-plain", "title": "Notes", "text": "Titan is large."}
    sent = ask(chat(), server, document)
    assert sent["query"] == "/echo seen\nNotes\nTitan is large."
    assert "files" not in sent


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"type": "hologram", "data": 1}, "type 'hologram' cannot be sent to a Dify app"),
        ({"type": "image", "base64": "%%%", "mime_type": "image/png"}, "is not base64"),
        ({"type": "video"}, "needs url, base64 or file_id"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_any_request(
    block: dict[str, Any], says: str, chat: Models, server: LocalDify
) -> None:
    with pytest.raises(ValueError, match=says):
        ask(chat(), server, block)
    assert not server.requests


def test_system_messages_of_blocks(chat: Models, server: LocalDify) -> None:
    system = SystemMessage([{"type": "text", "text": "Be"}, "brief."])
    chat().invoke([system, HumanMessage("/echo hi")])
    assert server.requests[-1].json["query"] == "Be\nbrief.\n\n/echo hi"


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat"])
def test_files_of_the_user_are_no_files_of_the_answer(app: str, chat: Models) -> None:
    image = {"type": "image", "base64": DATA, "mime_type": "image/png"}
    answer = chat(app).invoke([HumanMessage([{"type": "text", "text": "/echo seen"}, image])])
    assert [block["type"] for block in answer.content_blocks] == ["text"]
