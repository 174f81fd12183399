"""A Dify app as a chat in Chainlit: streaming, sources, nodes, files, forms.

An answer streams in; what it was drawn from opens beside it; the nodes of a chatflow and the tools
of an agent are Chainlit's steps. An app that asks a person is answered in the chat: its form waits
in the session until it is filled. The stop button stops the run on the server, and so does leaving.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY against yours:

    pip install "dify-adapters[chainlit]"
    python chainlit_chat.py [PORT]     # then open http://127.0.0.1:8000/

Chainlit writes its settings into the folder that this is started in. With a data layer of
Chainlit's, conversations and forms that wait outlive the process, too: a session holds their ids.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import aclosing
from functools import cache
from typing import Any

import chainlit as cl
from chainlit.cli import run_chainlit
from chainlit.config import config
from chainlit.utils import utc_now

from dify_api import AsyncDifyClient, DifyError, chat, files
from dify_api.answers.answer import Answer
from dify_api.answers.events import AgentThoughtEvent, Event, NodeFinishedEvent, NodeStartedEvent
from dify_api.answers.forms import Form, FormInput
from dify_api.errors import NotPausedError, WorkflowPausedError
from dify_local import app_from_environment

KINDS = {"llm": "llm", "knowledge-retrieval": "retrieval"}  # of nodes; the others are tools
A_DAY = 24 * 60 * 60  # that a form waits on the page; later, the next message brings it back


@cache
def dify() -> AsyncDifyClient:
    return AsyncDifyClient()


def end_user() -> str:
    """Whoever has logged in, or else the browser session."""
    user = cl.user_session.get("user")
    return user.identifier if user else cl.user_session.get("id")


@cl.on_message
async def on_message(message: cl.Message) -> None:
    try:
        await finish_what_waits()
        attached = [await uploaded(file.path) for file in message.elements if file.path]
        question = chat.send_message(
            message.content,
            user=end_user(),
            conversation_id=cl.user_session.get("conversation_id"),
            files=attached,
        )
        await show(dify().stream(question))
    except WorkflowPausedError as paused:
        await ask_person(paused)
    except DifyError as error:
        await cl.ErrorMessage(str(error)).send()


@cl.on_chat_end
async def on_chat_end() -> None:
    """The browser has left, or begins a new chat: what is being answered is stopped."""
    if answering := cl.context.session.current_task:
        answering.cancel()


async def uploaded(path: str) -> dict[str, Any]:
    return files.reference(await dify().send(files.upload(path, user=end_user())))


# An answer -----------------------------------------------------------------------------------


async def show(stream: Any, before: str = "") -> None:
    """Show an answer as it comes; leaving the stream, as a cancelled task does, stops the run.

    `before` is what has been shown before a pause; the answer holds it, too.
    """
    message = cl.Message("")
    trace = Trace(message.parent_id)
    async with stream:
        try:
            async with aclosing(stream.steps()) as steps:
                async for event, text in steps:
                    if event.conversation_id:
                        cl.user_session.set("conversation_id", event.conversation_id)
                    await trace.show(event)
                    await message.stream_token(text)
        finally:  # whole or not, it stands as the app has it: a moderator may have replaced it
            await trace.end()
            message.content = stream.answer.text.removeprefix(before)
            sources, made = cards(stream.answer), attachments(stream.answer)
            if sources:  # Chainlit makes links of their names
                message.content += "\n\nSources: " + " · ".join(card.name for card in sources)
            if message.content or made:
                await message.send()
            for element in [*sources, *made]:
                await element.send(for_id=message.id)


def cards(answer: Answer) -> list[cl.Text]:
    """What the answer was drawn from, to open at the side."""
    found = []
    for number, source in enumerate(answer.retriever_resources, 1):
        score = f" · {source.score:.2f}" if source.score is not None else ""
        heading = f"**{source.document_name}** · {source.dataset_name}{score}"
        name = f"[{number}] {source.document_name}"
        found.append(cl.Text(name=name, content=f"{heading}\n\n{source.content}", display="side"))
    return found


def attachments(answer: Answer) -> list[cl.Image | cl.File]:
    """The files that the app has made."""
    return [
        (cl.Image if file.type == "image" else cl.File)(name=file.filename or "file", url=file.url)
        for file in answer.files
    ]


class Trace:
    """The nodes of a chatflow and the tools of an agent, as steps."""

    def __init__(self, parent_id: str | None) -> None:
        self._parent_id = parent_id
        self._steps: dict[str | None, cl.Step] = {}

    async def show(self, event: Event) -> None:
        """Begin or end the step that an event is about."""
        match event:
            case NodeStartedEvent(data=node):
                await self._begin(node.id, node.title, KINDS.get(node.node_type or "", "tool"))
            case NodeFinishedEvent(data=node):
                failed = node.status == "failed"
                await self._end(node.id, node.inputs, node.error or node.outputs, failed)
            case AgentThoughtEvent(tool=str(tool)) if tool:  # sent again as more is known
                if event.id not in self._steps:
                    await self._begin(event.id, tool, "tool")
                if event.observation:
                    await self._end(event.id, event.tool_input, event.observation)

    async def end(self) -> None:
        """End what has not ended: the answer was stopped or broke off."""
        for key in self._steps:
            await self._end(key, None, "not finished")

    async def _begin(self, key: str | None, title: str | None, kind: Any) -> None:
        step = self._steps[key] = cl.Step(title or kind, kind, parent_id=self._parent_id)
        step.start = utc_now()
        await step.send()

    async def _end(self, key: str | None, given: Any, output: Any, failed: bool = False) -> None:
        step = self._steps.get(key)
        if step and not step.end:
            step.input, step.output, step.is_error = given or "", output or "", failed
            step.end = utc_now()
            await step.update()


# A person is asked ---------------------------------------------------------------------------


async def finish_what_waits() -> None:
    """A form that was left, by the stop button or by leaving, comes first."""
    if run_id := cl.user_session.get("waiting_run"):
        try:
            await ask_person(await dify().paused_run(run_id, user=end_user()))
        except NotPausedError:  # it was filled elsewhere, or has ended
            cl.user_session.set("waiting_run", None)


async def ask_person(paused: WorkflowPausedError) -> None:
    """Have the forms of a paused run filled, and show how the same run goes on."""
    while True:
        cl.user_session.set("waiting_run", paused.workflow_run_id)
        here = {form.form_token: form for form in paused.forms if form.form_token}
        if not here:
            await cl.Message("This waits for a form that went out by e-mail.").send()
            return
        values = {token: await filled(form) for token, form in here.items()}
        try:
            stream = dify().resume_stream(paused, values, user=end_user())
            await show(stream, before=paused.answer.text if paused.answer else "")
        except ValueError as error:  # of what was filled in; nothing has been submitted
            await cl.ErrorMessage(str(error)).send()
        except WorkflowPausedError as again:
            paused = again
        else:
            cl.user_session.set("waiting_run", None)
            return


async def filled(form: Form) -> dict[str, Any]:
    """The values of a form, asked for one after the other."""
    await cl.Message(re.sub(r"{{#\$output\.(\w+)#}}", r"`\1`", form.form_content)).send()
    values = {item.output_variable_name: await value_of(item, form) for item in form.inputs}
    buttons = {action.id: action.title or action.id for action in form.user_actions}
    return {**values, form.action_key: await chosen("How shall it go on?", buttons)}


async def value_of(item: FormInput, form: Form) -> Any:
    name = f"**{item.output_variable_name}**"
    if item.options:
        return await chosen(name, {option: option for option in item.options})
    if item.type.startswith("file"):
        many = (item.number_limits or 5) if item.type == "file-list" else 1
        wanted = cl.AskFileMessage(name, ["*/*"], max_files=many, timeout=A_DAY)
        references = [await uploaded(file.path) for file in answered(await wanted.send())]
        return references if item.type == "file-list" else references[0]
    default = form.default_of(item)
    hint = f" (`-` for: {default})" if default else ""
    text = answered(await cl.AskUserMessage(name + hint, timeout=A_DAY).send())["output"]
    return default if default and text == "-" else text


async def chosen(question: str, choices: Mapping[str, str]) -> str:
    """The id of the button that is clicked."""
    buttons = [cl.Action(key, {"id": key}, label=label) for key, label in choices.items()]
    asked = cl.AskActionMessage(question, buttons, timeout=A_DAY)
    return answered(await asked.send())["payload"]["id"]


def answered(reply: Any) -> Any:
    if reply is None:
        raise DifyError("Nobody has filled the form; your next message brings it back.")
    return reply


if __name__ == "__main__":
    os.environ["CHAINLIT_PORT"] = sys.argv[1] if len(sys.argv) > 1 else "8000"
    config.run.headless = True  # opens no browser
    with app_from_environment("advanced-chat"):
        run_chainlit(__file__)
