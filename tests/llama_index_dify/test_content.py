"""Blocks: reasoning, citations, tools and files out; images, audio, video and documents in."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms import ChatMessage, ChatResponse

from dify_api.endpoints.audio import type_of_speech
from dify_local import LocalDify
from llama_index_dify import Dify, DifyCompletion
from tests.contract.exchanges import replayed
from tests.llama_index_dify.support import (
    IDS,
    STREAMING_WAYS,
    Way,
    message,
    message_end,
    streaming,
    text_of,
)
from tests.support.cassettes import exchange
from tests.support.containers import BEGINNINGS

HELLO = [ChatMessage("Hello")]

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


# Reasoning --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", STREAMING_WAYS.values(), ids=STREAMING_WAYS)
async def test_thinking_is_kept_out_of_the_text(way: Way) -> None:
    """`<think>` split over deltas, as models stream it."""
    pieces = ["<th", "ink>Let me", " see.</thi", "nk>\n\nFor", "ty-two."]
    with streaming(*map(message, pieces), message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, reasoning=True)
        responses = await way(llm, "Hello")
    assert "".join(r.delta or "" for r in responses) == "Forty-two."
    thought = [r.additional_kwargs.get("thinking_delta", "") for r in responses]
    assert "".join(thought) == "Let me see."
    assert text_of(responses[-1]) == "Forty-two."
    assert all("think" not in text_of(response) for response in responses)
    if isinstance(responses[-1], ChatResponse):
        block = responses[-1].message.blocks[0]
        assert isinstance(block, ThinkingBlock)
        assert block.content == "Let me see."


def test_text_is_as_sent_where_reasoning_is_not_asked_for() -> None:
    with streaming(message("<think>Hm</think>Yes"), message_end()) as server:
        response = Dify(api_key="app-test", base_url=server.base_url).chat([ChatMessage("Hello")])
    assert response.message.content == "<think>Hm</think>Yes"


def test_unclosed_thinking_is_not_lost() -> None:
    with streaming(message("<think>Hm, "), message("well <"), message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, reasoning=True)
        response = llm.chat([ChatMessage("Hello")])
    assert response.message.content == ""
    block = response.message.blocks[0]
    assert isinstance(block, ThinkingBlock)
    assert block.content == "Hm, well <"


@pytest.mark.parametrize("way", STREAMING_WAYS.values(), ids=STREAMING_WAYS)
async def test_reasoning_events(way: Way) -> None:
    """1.16.0 sends reasoning as events of its own."""

    def reasoning(text: str) -> dict[str, Any]:
        return {"event": "reasoning_chunk", **IDS, "data": {"reasoning": text}}

    with streaming(reasoning("Let "), reasoning("me see"), message("42"), message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, reasoning=True)
        responses = await way(llm, "Hello")
    deltas = [(r.delta, r.additional_kwargs.get("thinking_delta")) for r in responses]
    assert deltas == [("", "Let "), ("", "me see"), ("42", None), ("", None)]
    if isinstance(responses[-1], ChatResponse):
        block = responses[-1].message.blocks[0]
        assert isinstance(block, ThinkingBlock)
        assert block.content == "Let me see"


def test_ids_come_with_the_first_text_even_after_thinking() -> None:
    with streaming(message("<think>Hm</think>"), message("Yes"), message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, reasoning=True)
        first, second, *_ = llm.stream_chat([ChatMessage("Hello")])
    assert first.additional_kwargs == {"thinking_delta": "Hm", **_ids()}
    assert second.additional_kwargs == {}


def _ids() -> dict[str, Any]:
    return {name: value for name, value in IDS.items() if name != "created_at"}


# Blocks of an answer ----------------------------------------------------------------------------

RESOURCE = {
    "position": 1,
    "dataset_name": "Planets",
    "document_id": "d1",
    "document_name": "saturn.md",
    "segment_id": "s1",
    "segment_position": 4,
    "score": 0.82,
    "content": "Saturn has 146 moons.",
}
THOUGHT = {
    "event": "agent_thought",
    **IDS,
    "id": "t1",
    "position": 1,
    "thought": "",
    "tool": "search;weather",
    "tool_input": '{"search": {"query": "moons"}, "weather": {"city": "Bonn"}}',
    "observation": "...",
}


def picture(url: str, kind: str = "image") -> dict[str, Any]:
    return {
        "event": "message_file",
        **IDS,
        "id": url,
        "type": kind,
        "belongs_to": "assistant",
        "url": url,
    }


def test_content_blocks() -> None:
    """Fact 6: additional_location_info takes ints only."""
    events = (
        THOUGHT,
        picture("https://dify.example/a.png"),
        picture("/files/tools/b.pdf", "document"),
        picture("https://dify.example/c.mp3", "audio"),
        picture("https://dify.example/d.mp4", "video"),
        message("Saturn."),
        message_end(retriever_resources=[RESOURCE]),
    )
    with streaming(*events) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, content_blocks=True)
        blocks = llm.chat([ChatMessage("Hello")]).message.blocks
        root = server.base_url.removesuffix("/v1")
    kinds = ["thinking", "text", "tool_call", "tool_call", "image", "document", "audio", "video"]
    assert [block.block_type for block in blocks] == [*kinds, "citation"]
    search, weather, image, document, audio, video, citation = blocks[2:]
    assert isinstance(search, ToolCallBlock)
    assert (search.tool_name, search.tool_kwargs) == ("search", {"query": "moons"})
    assert isinstance(weather, ToolCallBlock)
    assert (weather.tool_name, weather.tool_kwargs) == ("weather", {"city": "Bonn"})
    assert isinstance(image, ImageBlock)
    assert str(image.url) == "https://dify.example/a.png"
    assert isinstance(document, DocumentBlock)
    assert document.url == f"{root}/files/tools/b.pdf"
    assert isinstance(audio, AudioBlock)
    assert isinstance(video, VideoBlock)
    assert isinstance(citation, CitationBlock)
    assert citation.cited_content == TextBlock(text="Saturn has 146 moons.")
    assert (citation.source, citation.title) == ("s1", "saturn.md")
    assert citation.additional_location_info == {"position": 1, "segment_position": 4}


async def test_speech_is_a_block_of_its_own_type(local: LocalDify) -> None:
    llm = Dify(api_key=local.keys["chat"], base_url=local.base_url, user="ann", content_blocks=True)
    question = [ChatMessage("/tts Hello there")]
    for response in (
        llm.chat(question),
        await llm.achat(question),
        list(llm.stream_chat(question))[-1],
        [r async for r in await llm.astream_chat(question)][-1],
    ):
        speech = response.message.blocks[-1]
        assert isinstance(speech, AudioBlock)
        audio = speech.resolve_audio().read()
        assert speech.format == type_of_speech(audio).removeprefix("audio/").replace("mpeg", "mp3")
        assert len(audio) > 100


@pytest.mark.parametrize("mime_type", BEGINNINGS)
def test_speech_has_the_type_of_its_container(mime_type: str) -> None:
    spoken = {"event": "tts_message", **IDS}
    with streaming(
        message("Rings."),
        message_end(),
        {**spoken, "audio": base64.b64encode(BEGINNINGS[mime_type]).decode()},
        {**spoken, "event": "tts_message_end", "audio": ""},
    ) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url, content_blocks=True)
        for response in (llm.chat(HELLO), list(llm.stream_chat(HELLO))[-1]):
            speech = response.message.blocks[-1]
            assert isinstance(speech, AudioBlock)
            assert speech.format == {"audio/mpeg": "mp3"}.get(mime_type, mime_type[6:])


# What a New Agent asks ----------------------------------------------------------------------------


async def test_a_new_agent_that_asks_with_a_form() -> None:
    form = {"form_id": "f", "form_token": "k", "actions": [{"id": "yes", "title": "Yes"}]}
    with streaming(
        {"event": "agent_message", **IDS, "answer": "May I?"},
        {"event": "human_input_required", **IDS, "data": form},
        message_end(),
    ) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url)
        for response in (
            llm.chat(HELLO),
            await llm.achat(HELLO),
            list(llm.stream_chat(HELLO))[-1],
            [r async for r in await llm.astream_chat(HELLO)][-1],
        ):
            assert response.message.content == "May I?"
            (asked,) = response.raw["forms"]
            assert (asked["form_token"], asked["user_actions"][0]["id"]) == ("k", "yes")
            assert response.raw["finish_reason"] == "stop"


def test_a_new_agent_that_asks_in_words() -> None:
    with replayed(exchange("dify-1.16.0/newagent_full_ask_human")) as base_url:
        llm = Dify(api_key="app-test", base_url=base_url)
        for response in (llm.chat(HELLO), list(llm.stream_chat(HELLO))[-1]):
            assert response.message.content == "May I proceed?\n\n**details**"
            assert response.raw["forms"] == []


def test_no_content_blocks_unless_asked_for() -> None:
    """Other integrations refuse them in a history."""
    with streaming(
        THOUGHT, message("Saturn."), message_end(retriever_resources=[RESOURCE])
    ) as server:
        response = Dify(api_key="app-test", base_url=server.base_url).chat([ChatMessage("Hello")])
    assert [block.block_type for block in response.message.blocks] == ["thinking", "text"]
    assert response.raw["agent_thoughts"][0]["tool"] == "search;weather"


# Files of a question ----------------------------------------------------------------------------


def uploads(local: LocalDify) -> list[Any]:
    return [r for r in local.requests if r.path.endswith("/files/upload")]


def files_sent(local: LocalDify) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = local.requests[-1].json["files"]
    return files


def test_public_addresses_go_as_they_are(llm: Dify, local: LocalDify) -> None:
    url = "https://example.com/"
    blocks = [
        TextBlock(text="/echo hi"),
        ImageBlock(url=f"{url}a.png"),
        AudioBlock(url=f"{url}b.mp3"),
        VideoBlock(url=f"{url}c.mp4"),
        DocumentBlock(url=f"{url}d.pdf"),
    ]
    llm.chat([ChatMessage(blocks=blocks)])
    assert uploads(local) == []
    assert [(f["type"], f["transfer_method"]) for f in files_sent(local)] == [
        ("image", "remote_url"),
        ("audio", "remote_url"),
        ("video", "remote_url"),
        ("document", "remote_url"),
    ]
    assert local.requests[-1].json["query"] == "/echo hi"


@pytest.mark.parametrize("way", ["chat", "achat", "stream", "astream"])
async def test_bytes_are_uploaded_once(way: str, llm: Dify, local: LocalDify) -> None:
    question = ChatMessage(
        blocks=[TextBlock(text="/echo hi"), ImageBlock(image=PNG), ImageBlock(image=PNG)]
    )
    if way == "chat":
        llm.chat([question])
    elif way == "achat":
        await llm.achat([question])
    elif way == "stream":
        list(llm.stream_chat([question]))
    else:
        async for _ in await llm.astream_chat([question]):
            pass
    assert len(uploads(local)) == 1
    (file,) = files_sent(local)
    assert (file["type"], file["transfer_method"]) == ("image", "local_file")
    assert file["upload_file_id"]


def test_paths_data_urls_and_titles(llm: Dify, local: LocalDify, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(PNG)
    note = tmp_path / "note.md"
    note.write_text("# Mars")
    encoded = base64.b64encode(b"# Venus, the second planet").decode()
    llm.chat(
        [
            ChatMessage(
                blocks=[
                    TextBlock(text="/echo hi"),
                    ImageBlock(path=picture),
                    DocumentBlock(path=note),
                    DocumentBlock(data=b"Earth, our own: plain text", title="earth.txt"),
                    DocumentBlock(url=f"data:text/plain;base64,{encoded}"),
                ]
            )
        ]
    )
    assert [f["type"] for f in files_sent(local)] == ["image", "document", "document", "document"]
    assert len(uploads(local)) == 4


def test_files_alone_and_files_of_earlier_turns(llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage(blocks=[ImageBlock(image=PNG)])]
    response = llm.chat(history)
    assert local.requests[-1].json["query"] == " "
    local.clear_requests()
    history += [response.message, ChatMessage("/echo hi")]
    llm.chat(history)
    assert uploads(local) == []  # the server has it
    assert "files" not in local.requests[-1].json


def test_citable_blocks(llm: Dify, local: LocalDify) -> None:
    citable = CitableBlock(title="Saturn", source="book", content=[TextBlock(text="146 moons")])
    llm.chat([ChatMessage(blocks=[TextBlock(text="/echo hi"), citable])])
    assert local.requests[-1].json["query"] == "/echo hi\nSaturn (book):\n146 moons"


async def test_completion_apps_take_files_too(
    completion_llm: DifyCompletion, local: LocalDify
) -> None:
    question = ChatMessage(blocks=[TextBlock(text="/echo hi"), ImageBlock(image=PNG)])
    completion_llm.chat([question])
    assert files_sent(local)[0]["transfer_method"] == "local_file"
    await completion_llm.achat([question])
    assert len(uploads(local)) == 2


def test_an_empty_block_is_an_error(llm: Dify) -> None:
    with pytest.raises(ValueError, match=r"zero bytes|No valid source|must be provided"):
        llm.chat([ChatMessage(blocks=[TextBlock(text="hi"), ImageBlock()])])
