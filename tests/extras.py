"""Each extra alone: installed from the wheel into a new environment, it imports and answers.

python -m tests.extras             # all of them, and every example copied out; minutes
python -m tests.extras langchain   # these alone; `none` is the package without an extra

The server that they ask runs here, in another environment. `ray` is `make ray`'s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

from dify_local import LocalDify

ROOT = Path(__file__).parents[1]

Outcome = tuple[str, str | None]  # what was tried, and what went wrong, if something did

WIRE = """
from dify_api import DifyClient, chat
answer = DifyClient().send(chat.send_message("Which planet has the most moons?", user="ann"))
assert "Saturn" in answer.text
"""
LANGCHAIN = """
from langchain_dify import ChatDify, citations
answer = ChatDify(user="ann").invoke("Which planet has the most moons?")
assert "Saturn" in answer.text
assert citations(answer)[0].metadata["title"] == "saturn.md"
"""
LANGGRAPH = """
from langchain_dify import ChatDify
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
model = ChatDify(user="ann", human_input="interrupt")
ask = lambda state: {"messages": model.invoke(state["messages"])}
graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask")
graph, thread = graph.compile(InMemorySaver()), {"configurable": {"thread_id": "1"}}
assert graph.invoke({"messages": "/pause A draft."}, thread)["__interrupt__"]
filled = Command(resume={"comment": "Fine.", "action": "approve"})
assert "Fine." in graph.invoke(filled, thread)["messages"][-1].text
"""
LLAMA_INDEX = """
from llama_index_dify import Dify, DifyQueryEngine
response = DifyQueryEngine(Dify(user="ann")).query("Which planet has the most moons?")
assert "Saturn" in str(response)
assert response.source_nodes[0].metadata["document_name"] == "saturn.md"
"""
LOCAL = """
from dify_api import DifyClient, chat
from dify_local import LocalDify
with LocalDify() as server:
    client = DifyClient(server.keys["chat"], base_url=server.base_url)
    answer = client.send(chat.send_message("Which planet has the most moons?", user="ann"))
assert "Saturn" in answer.text
"""
PDF = "import pypdf"
TOGETHER = "import dify_api, dify_batch, dify_local, langchain_dify, llama_index_dify"
BATCH = """
import json, subprocess, sys
from pathlib import Path
Path("questions.csv").write_text("query\\nWhich planet has the most moons?\\n/echo Hello\\n")
command = Path(sys.executable).with_name("dify-batch")
subprocess.run([command, "questions.csv", "answers.jsonl"], check=True, stderr=subprocess.DEVNULL)
answers = [json.loads(line)["answer"] for line in Path("answers.jsonl").read_text().splitlines()]
assert sorted(answers)[1] == "Hello" and "Saturn" in sorted(answers)[0], answers
"""
PARQUET = """
import pyarrow, pyarrow.parquet, subprocess, sys
from pathlib import Path
pyarrow.parquet.write_table(pyarrow.table({"query": ["/echo Hello"]}), "questions.parquet")
command = Path(sys.executable).with_name("dify-batch")
subprocess.run([command, "questions.parquet", "answers.parquet", "--quiet"], check=True)
assert pyarrow.parquet.read_table("answers.parquet")["answer"].to_pylist() == ["Hello"]
"""

EXTRAS = {
    "none": WIRE,
    "langchain": WIRE + LANGCHAIN,
    "langgraph": LANGCHAIN + LANGGRAPH,
    "llama-index": WIRE + LLAMA_INDEX,
    "local": LOCAL,
    "pdf": WIRE + PDF,
    "batch": BATCH,
    "parquet": WIRE + PARQUET,
    "all": TOGETHER + LANGCHAIN + LANGGRAPH + LLAMA_INDEX + LOCAL + PDF + BATCH,
    "examples": LANGCHAIN + LLAMA_INDEX + LOCAL,
}
SERVERS = {"langchain_server": "/", "openai_endpoint": "/v1/models", "chainlit_chat": "/"}
FORM = "Fine.\n\n"  # what an example that asks a person reads


def clean_environment(**more: str) -> dict[str, str]:
    """Nothing of this environment: no path to the sources, and no app."""
    left_out = ("DIFY_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, **more}


def install(wheel: Path, extra: str, folder: Path) -> Path:
    """The interpreter of a new environment with the wheel and an extra."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = str(wheel) if extra == "none" else f"{wheel}[{extra}]"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", wanted]
    subprocess.run(pip, check=True, env=clean_environment())
    return python


def run(python: Path, *arguments: str, folder: Path, variables: Mapping[str, str]) -> str | None:
    """Run to the end, in an empty folder; what went wrong, if something did."""
    folder.mkdir()
    environment = clean_environment(**variables)
    command = [python, *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=FORM,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return None if done.returncode == 0 else done.stderr


def serve(python: Path, script: Path, path: str, folder: Path) -> str | None:
    """Start a server among the examples and get its page; what went wrong, if something did."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [python, script, str(port)],
            cwd=folder,
            env=clean_environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            end = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < end:
                try:
                    with urlopen(f"http://127.0.0.1:{port}{path}") as page:
                        return None if page.read() else "an empty page"
                except OSError:
                    time.sleep(0.2)  # nothing else tells when a program of its own listens
        finally:
            process.terminate()
            process.wait()
        log.seek(0)
        return log.read() or "it does not answer"


def try_examples(python: Path, names: list[str], folder: Path) -> Iterator[Outcome]:
    """Run examples as whoever copies one file does: alone, elsewhere, offline."""
    for name in names:
        alone = folder / name
        alone.mkdir()
        script = Path(shutil.copy(ROOT / "examples" / f"{name}.py", alone))
        if name in SERVERS:
            yield name, serve(python, script, SERVERS[name], alone / "cwd")
        else:
            yield name, run(python, str(script), folder=alone / "cwd", variables={})


def examples_of(extra: str) -> list[str]:
    """The examples that an extra is for."""
    names = sorted(path.stem for path in (ROOT / "examples").glob("[!_]*.py"))
    return [name for name in names if (name == "chainlit_chat") == (extra == "chainlit")]


def try_extra(extra: str, wheel: Path, folder: Path, server: LocalDify) -> Iterator[Outcome]:
    """Install an extra and use it, and the examples that it is for."""
    python = install(wheel, extra, folder / "environment")
    if extra in EXTRAS:
        code = ("-W", "error::RuntimeWarning", "-c", EXTRAS[extra])
        app = {"DIFY_BASE_URL": server.base_url, "DIFY_API_KEY": server.keys["advanced-chat"]}
        yield extra, run(python, *code, folder=folder / "cwd", variables=app)
    if extra in ("examples", "chainlit"):
        yield from try_examples(python, examples_of(extra), folder)


def main(extras: list[str]) -> int:
    failed = False
    with tempfile.TemporaryDirectory() as temporary, LocalDify() as server:
        folder = Path(temporary)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
        subprocess.run(build, check=True)
        [wheel] = folder.glob("*.whl")
        for extra in extras:
            began = time.monotonic()
            for name, problem in try_extra(extra, wheel, folder / extra, server):
                print(f"{'FAILED' if problem else 'ok':7}{name}", flush=True)
                print(problem or "", end="", flush=True)
                failed = failed or bool(problem)
            print(f"       {extra}: {time.monotonic() - began:.0f} s", flush=True)
            shutil.rmtree(folder / extra)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    choices = [*EXTRAS, "chainlit"]
    parser.add_argument("extras", nargs="*", choices=choices, default=choices)
    sys.exit(main(parser.parse_args().extras))
