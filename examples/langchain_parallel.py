"""Several Dify apps at once: RunnableParallel asks them side by side, and a batch of rows, too.

Runs offline against local apps. With your own: DIFY_BASE_URL, DIFY_API_KEY (a chat app) and
DIFY_TOOL_API_KEYS (keys of a chatflow and a workflow app, with a comma between):

    python langchain_parallel.py "the rings of Saturn"
"""

from __future__ import annotations

import asyncio
import os
import sys

from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda, RunnableParallel

from dify_local import app_from_environment
from langchain_dify import ChatDify, DifyWorkflow


async def main() -> None:
    topic = " ".join(sys.argv[1:]) or "the rings of Saturn"
    keys = os.environ["DIFY_TOOL_API_KEYS"].split(",")
    if len(keys) != 2:
        sys.exit("DIFY_TOOL_API_KEYS: give two keys, of a chatflow and of a workflow app")
    chatflow, workflow = keys
    as_question = RunnableLambda(lambda topic: f"What is known about {topic}?")
    as_inputs = RunnableLambda(lambda topic: {"text": topic})
    views = RunnableParallel(
        chat=as_question | ChatDify(user="ann") | StrOutputParser(),
        chatflow=as_question | ChatDify(api_key=chatflow, user="ann") | StrOutputParser(),
        report=as_inputs | DifyWorkflow(api_key=workflow, user="ann"),
    )
    heard: dict[str, int] = {}
    async for chunk in views.astream(topic):  # as each of them writes
        for name in chunk:
            heard[name] = heard.get(name, 0) + 1
    print(f"in pieces: {', '.join(sorted(heard))}")
    result = await views.ainvoke(topic)
    print(f"chat:     {result['chat']}")
    print(f"chatflow: {result['chatflow']}")
    print(f"report:   {result['report'].get('text', result['report'])}")
    rows = ["the moons of Mars", "the day of Venus"]
    for row, answer in zip(rows, await views.abatch(rows), strict=True):
        print(f"{row}: {answer['chat']}")


if __name__ == "__main__":
    with app_from_environment("chat", tools=["advanced-chat", "workflow"]):
        asyncio.run(main())
