"""An app that waits for a person's approval, across processes: no run is lost, none is repeated.

    python llama_index_approval.py

One process runs the app until it waits for a person, saves the workflow's `Context` as JSON and
ends. A second one shows the form, takes what is typed (Enter for the default), and goes on with
the same run of the app.

Offline against a local app; against a workflow app of yours that asks a human, with DIFY_BASE_URL
and DIFY_API_KEY set.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step

from dify_api.answers.forms import HumanInputForm
from dify_local import app_from_environment
from llama_index_dify import DifyInputRequiredEvent, DifyWorkflow

DRAFT = "/pause Saturn has 274 moons, more than any other planet."  # "/pause": the local app asks


class Publication(Workflow):
    """Has an app write a report, which a person approves."""

    @step
    async def write(self, ctx: Context, ev: StartEvent) -> StopEvent:
        """Executed again when the form is filled; the app is not."""
        response = await DifyWorkflow(user="ann").arun({"text": DRAFT}, ctx=ctx)
        return StopEvent(result=response.outputs.get("text", response.text))


async def begin() -> str:
    """Run until a person is asked; return what is to be saved."""
    run = Publication(timeout=None).run()
    async for event in run.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            print(f"waiting for a person: {event.text}")
            break
    else:
        sys.exit(f"published without asking: {await run}")
    saved = json.dumps(run.ctx.to_dict())
    await run.cancel_run()
    return saved


async def go_on(saved: str) -> None:
    """Have the form filled, and wait for the report."""
    workflow = Publication(timeout=None)
    context: Context[Any] = Context.from_dict(workflow, json.loads(saved))
    run = workflow.run(ctx=context)
    async for event in run.stream_events():  # the form is asked for again
        if isinstance(event, DifyInputRequiredEvent):
            values = {key: value for form in event.forms for key, value in fill(form).items()}
            run.ctx.send_event(event.response(values))
    print(f"published: {await run}")


def fill(form: HumanInputForm) -> dict[str, str]:
    """Show a form of texts and choices in the terminal."""
    print(f"\n{form.form_content}\n")
    values = {}
    for name, field in form.response_schema()["properties"].items():
        choices = field.get("enum", [])
        default = field.get("default", choices[0] if choices else "")
        among = f" ({', '.join(choices)})" if choices else ""
        print(f"{name}{among} [{default}]: ", end="", flush=True)
        values[name] = sys.stdin.readline().strip() or default
    print()
    return values


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "context.json")
        saved.write_text(asyncio.run(begin()))
        another_process = [sys.executable, __file__, str(saved)]
        subprocess.run(another_process, check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:  # the other process
        asyncio.run(go_on(Path(sys.argv[1]).read_text()))
    else:
        with app_from_environment("workflow"):
            main()
