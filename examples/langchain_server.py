"""A chat in the browser: FastAPI streams a Dify app's answer as server-sent events.

Each browser session is a thread of LangGraph, which remembers its conversation. The nodes of a
chatflow are shown as they run, sources after the text; what a moderator puts in the place of an
answer replaces it on the page; whoever closes the page stops the run on the server.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY against yours:

    python langchain_server.py [PORT]     # then open http://127.0.0.1:8000/
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from dify_api import DifyError
from dify_local import app_from_environment
from langchain_dify import ChatDify, citations

PAGE = """<!doctype html>
<meta charset="utf-8"><title>Dify, LangChain, FastAPI</title>
<style>
  body { font: 16px/1.5 system-ui; max-width: 42rem; margin: 2rem auto; padding: 0 1rem }
  form { display: flex; gap: .5rem } input { flex: 1; font: inherit; padding: .4rem }
  .question { font-weight: 600; margin-top: 1rem } .answer { white-space: pre-wrap }
  details { color: #555; margin-left: 1rem } .error { color: #b00 }
  .nodes { color: #777; font-size: .85rem } .nodes span { margin-right: 1rem }
  .nodes span::after { content: " …" } .nodes .failed::after { content: " ✗" }
  .nodes .succeeded::after { content: " ✓" }
</style>
<h1>Ask the app</h1>
<div id="chat"></div>
<form><input name="question" autofocus autocomplete="off"><button>Ask</button>
<button type="button" id="stop" disabled>Stop</button></form>
<script>
const chat = document.querySelector("#chat"), stop = document.querySelector("#stop");
const session = crypto.randomUUID();
const add = (kind, text) => { const e = document.createElement(kind === "details" ? kind : "div");
  e.className = kind; e.textContent = text; chat.append(e); return e; };
document.querySelector("form").onsubmit = async (submitted) => {
  submitted.preventDefault();
  const input = submitted.target.question, question = input.value;
  input.value = "";
  add("question", question);
  const nodes = add("nodes", ""), answer = add("answer", ""), leaving = new AbortController();
  stop.disabled = false; stop.onclick = () => leaving.abort();
  try {
    const response = await fetch("/chat", { method: "POST", signal: leaving.signal,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ session, question }) });
    let rest = "";
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      rest += piece;
      const frames = rest.split("\\n\\n"); rest = frames.pop();
      for (const frame of frames) {
        const event = JSON.parse(frame.slice(6));
        if (event.replace !== undefined) answer.textContent = event.replace;
        if (event.text) answer.textContent += event.text;
        if (event.error) add("error", event.error);
        if (event.node) {
          let node = [...nodes.children].find((child) => child.dataset.id === event.node.id);
          if (!node) nodes.append(node = document.createElement("span"));
          node.dataset.id = event.node.id;
          node.textContent = event.node.title;
          node.className = event.node.status;
        }
        for (const source of event.sources ?? []) {
          const card = add("details", "");
          card.innerHTML = "<summary></summary><p></p>";
          card.querySelector("summary").textContent = source.title;
          card.querySelector("p").textContent = source.text;
        }
      }
    }
  } catch (error) { if (error.name !== "AbortError") add("error", error.message); }
  stop.disabled = true;
};
</script>
"""


class Question(BaseModel):
    """What the page posts."""

    session: str
    question: str


@asynccontextmanager
async def lifespan(server: FastAPI) -> AsyncIterator[None]:
    with app_from_environment("advanced-chat"):
        server.state.graph = graph_of(ChatDify())
        yield


def graph_of(model: ChatDify) -> Any:
    """A graph that asks, and remembers each thread's conversation."""

    async def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        # Until Python 3.10 an async node must hand its callbacks on itself.
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    graph = StateGraph(MessagesState).add_node(ask).add_edge(START, "ask")
    return graph.compile(InMemorySaver())


app = FastAPI(lifespan=lifespan)


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.post("/chat")
async def chat(asked: Question) -> StreamingResponse:
    return StreamingResponse(events(asked), media_type="text/event-stream")


async def events(asked: Question) -> AsyncIterator[str]:
    """The answer as frames. The web server cancels this when the browser leaves.

    That cancellation goes on until nothing awaits any more, which is no state to stop a graph in:
    so it runs in a task of its own, which is cancelled once.
    """
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    task = asyncio.create_task(answer(asked, queue))
    try:
        while (event := await queue.get()) is not None:
            yield f"data: {json.dumps(event)}\n\n"
    finally:
        task.cancel()


class Nodes(AsyncCallbackHandler):
    """Puts the nodes of a chatflow into the queue, as they begin and end."""

    def __init__(self, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
        self._queue = queue

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """Named as in Dify: node_started, node_finished, and others."""
        if name in ("node_started", "node_finished"):
            status = data.get("status", "running")
            node = {"id": data["id"], "title": data.get("title", ""), "status": status}
            self._queue.put_nowait({"node": node})


async def answer(asked: Question, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
    """Ask the app, and put what the page shows into the queue; None is the end."""
    config = {"configurable": {"thread_id": asked.session}, "callbacks": [Nodes(queue)]}
    question = {"messages": [("human", asked.question)]}
    try:
        async for chunk, _ in app.state.graph.astream(question, config, stream_mode="messages"):
            if not isinstance(chunk, AIMessageChunk):
                continue
            if replaced := chunk.response_metadata.get("message_replace"):
                queue.put_nowait({"replace": replaced["answer"]})
            elif chunk.text:
                queue.put_nowait({"text": chunk.text})
            if chunk.chunk_position == "last":
                found = [
                    {"title": d.metadata["title"], "text": d.page_content} for d in citations(chunk)
                ]
                queue.put_nowait({"sources": found})
    except DifyError as error:
        queue.put_nowait({"error": str(error)})
    finally:
        queue.put_nowait(None)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
