"""Dify apps behind OpenAI's API, for OpenAI clients and chat interfaces.

`GET /v1/models` lists the apps, `POST /v1/chat/completions` asks one: whole or streamed, with
files, `stop`, usage and, as a field beside OpenAI's, `sources`. A conversation goes on

- by the header `X-Conversation-Id`, which every answer has, or
- by the history that OpenAI clients send each time: an answer of ours in it is recognised.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY (several keys with commas
between) against yours. Callers name the end user as `user`, as OpenAI has it:

    python openai_endpoint.py [PORT]
    curl http://127.0.0.1:8000/v1/chat/completions --json
        '{"model": "solar-system-chat", "messages": [{"role": "user", "content": "Hello"}]}'

This is for machines that you trust: it asks callers for no key of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_messages

from dify_api import AsyncDifyClient, DifyError, application
from dify_local import app_from_environment
from langchain_dify import ChatDify, citations

REMEMBERED = 100_000  # answers, the newest ones


class Answers:
    """Which conversation an answer belongs to, by everything that was said up to it.

    Answers come back as bare text. One that is not known (another server's, or forgotten) begins a
    new conversation, with the history written out.
    """

    def __init__(self) -> None:
        self._metadata: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def note(self, user: str, history: Sequence[BaseMessage], answer: AIMessage) -> None:
        """Remember an answer to a history."""
        self._metadata[_key(user, [*history, answer])] = answer.response_metadata
        while len(self._metadata) > REMEMBERED:
            self._metadata.popitem(last=False)

    def recognise(self, user: str, history: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The history, its answers as they were when they were given."""
        known = list(history)
        for place, message in enumerate(history):
            if isinstance(message, AIMessage):
                metadata = self._metadata.get(_key(user, history[: place + 1]), {})
                known[place] = message.model_copy(update={"response_metadata": metadata})
        return known


def _key(user: str, messages: Sequence[BaseMessage]) -> str:
    said = json.dumps([user, *([message.type, message.text] for message in messages)])
    return hashlib.sha256(said.encode()).hexdigest()


@asynccontextmanager
async def lifespan(server: FastAPI) -> AsyncIterator[None]:
    with app_from_environment():
        server.state.answers = Answers()
        server.state.models = {}
        for key in os.environ["DIFY_API_KEY"].split(","):
            app_name = (await AsyncDifyClient(key.strip()).send(application.info())).name or "dify"
            name = re.sub(r"[^a-z0-9]+", "-", app_name.lower()).strip("-") or "dify"
            server.state.models[name] = ChatDify(api_key=key.strip(), model_name=name)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/v1/models")
def models() -> dict[str, Any]:
    names = app.state.models
    return {"object": "list", "data": [_facts(name, "model", owned_by="dify") for name in names]}


@app.post("/v1/chat/completions", response_model=None)
async def completions(request: Request) -> Response:
    body = await request.json()
    if body.get("model") not in app.state.models:
        return _error(404, f"there is no model {body.get('model')!r}; GET /v1/models lists them")
    user = body.get("user") or "openai"
    call: dict[str, Any] = {"user": user, "stop": body.get("stop")}
    if conversation_id := request.headers.get("x-conversation-id"):
        call["conversation_id"] = conversation_id
    try:
        history = convert_to_messages(body["messages"])
        known = app.state.answers.recognise(user, history)
        chunks = app.state.models[body["model"]].astream(known, **call)
        first = await anext(chunks)  # a failure before the answer has its own status
    except DifyError as error:
        return _error(error.status or 502, str(error), error.code)
    except (KeyError, ValueError) as error:
        return _error(400, str(error))
    reply = _Reply(body, history, first, chunks)
    headers = {"X-Conversation-Id": first.response_metadata.get("conversation_id", "")}
    if body.get("stream"):
        return StreamingResponse(reply.frames(), headers=headers, media_type="text/event-stream")
    try:
        return JSONResponse(await reply.whole(), headers=headers)
    except DifyError as error:
        return _error(error.status or 502, str(error), error.code)


class _Reply:
    """An answer in OpenAI's format."""

    def __init__(
        self,
        body: dict[str, Any],
        history: list[BaseMessage],
        first: AIMessageChunk,
        rest: AsyncIterator[AIMessageChunk],
    ) -> None:
        self._body, self._history, self._first, self._rest = body, history, first, rest
        self._answer = first

    async def _chunks(self) -> AsyncIterator[AIMessageChunk]:
        async with aclosing(self._rest) as rest:  # leaving it stops the run
            yield self._first
            async for chunk in rest:
                self._answer += chunk
                yield chunk
        answer = AIMessage(self._answer.text, response_metadata=self._answer.response_metadata)
        app.state.answers.note(self._body.get("user") or "openai", self._history, answer)

    async def whole(self) -> dict[str, Any]:
        async for _ in self._chunks():
            pass
        message = {"role": "assistant", "content": self._answer.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return self._reply("chat.completion", choices=[choice], **self._end())

    async def frames(self) -> AsyncIterator[str]:
        async with aclosing(self._chunks()) as chunks:
            try:
                async for chunk in chunks:
                    if chunk.text:
                        yield self._frame({"role": "assistant", "content": chunk.text})
            except DifyError as error:
                yield f"data: {json.dumps(_failure(str(error), error.code))}\n\n"
                return
        end = self._end()
        yield self._frame({}, finish_reason="stop", sources=end["sources"])
        if (self._body.get("stream_options") or {}).get("include_usage"):
            yield self._frame(None, usage=end["usage"])
        yield "data: [DONE]\n\n"

    def _frame(
        self, delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any
    ) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        choices = [] if delta is None else [choice]
        chunk = self._reply("chat.completion.chunk", choices=choices, **more)
        return f"data: {json.dumps(chunk)}\n\n"

    def _reply(self, kind: str, **more: Any) -> dict[str, Any]:
        return _facts(self._first.id or "", kind, model=self._body["model"], **more)

    def _end(self) -> dict[str, Any]:
        usage = self._answer.usage_metadata or {}
        return {
            "usage": {
                "prompt_tokens": usage.get("input_tokens", 0),
                "completion_tokens": usage.get("output_tokens", 0),
                "total_tokens": usage.get("total_tokens", 0),
            },
            "sources": [
                {"title": found.metadata["title"], "content": found.page_content}
                for found in citations(self._answer)
            ],
        }


def _facts(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": int(time.time()), **more}


def _failure(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def _error(status: int, message: str, code: str | None = None) -> JSONResponse:
    return JSONResponse(_failure(message, code), status)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
