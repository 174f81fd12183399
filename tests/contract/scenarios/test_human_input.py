"""Apps that ask a human, step by step, against every release that was recorded."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from dify_api import Answer, chat, errors, files, human_input, messages, workflows
from dify_api.answers.forms import Form, FormInput, HumanInputForm
from dify_api.errors import WorkflowPausedError
from tests.contract.scenarios.conftest import Scenario

USER = "user-été"


async def filled(scenario: Scenario, mode: str, form: Form) -> dict[str, Any]:
    """Something for each input of a form, and its first button."""
    values = {item.output_variable_name: await _value(scenario, mode, item) for item in form.inputs}
    return {**values, form.action_key: form.user_actions[0].id}


async def _value(scenario: Scenario, mode: str, item: FormInput) -> Any:
    if "file" not in item.type:
        return item.options[0] if item.options else "Fine"
    name, content = ("rings.txt", "Saturn has rings. ☀".encode())
    if "document" not in (item.allowed_file_types or ["document"]):
        name, content = ("pixel.png", PIXEL)
    uploaded = await scenario.send(mode, files.upload(content, user=USER, name=name))
    reference = files.reference(uploaded)
    return [reference] if item.type == "file-list" else reference


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000a49444154789c6360000000020001"
    "e221bc330000000049454e44ae426082"
)


async def paused_run(scenario: Scenario) -> WorkflowPausedError:
    scenario.since("1.13.0", "human input")
    inputs = await scenario.inputs("human-input")
    with pytest.raises(WorkflowPausedError) as paused:
        await scenario.send("human-input", workflows.run(inputs, user=USER))
    assert paused.value.workflow_run_id is not None
    return paused.value


async def test_human_input(scenario: Scenario) -> None:
    """One form, call by call: shown, filled, the rest of the run, filled again."""
    paused = await paused_run(scenario)
    token = paused.forms[0].form_token
    assert token is not None
    form = await scenario.send("human-input", human_input.form(token))
    assert form.user_actions
    assert form.expiration_time is not None
    values, action = form.check(await filled(scenario, "human-input", form))
    submit = human_input.submit(token, values, action=action, user=USER)
    assert await scenario.send("human-input", submit) is None
    events = workflows.events(paused.workflow_run_id or "", user=USER)
    with contextlib.suppress(WorkflowPausedError):  # more forms: of another scenario
        answer = await scenario.send("human-input", events)
        assert answer.workflow is not None
        assert answer.workflow.status in ("succeeded", "stopped")  # stopped: 1.16.0 as released
    with pytest.raises(errors.PreconditionFailedError):
        await scenario.send("human-input", submit)


async def _resumed(
    scenario: Scenario, mode: str, what: WorkflowPausedError | str, forms: list[HumanInputForm]
) -> Answer:
    """The answer of a run whose forms are filled until it asks no more."""
    values = {form.form_token or "": await filled(scenario, mode, form) for form in forms}
    try:
        return await scenario.ask(mode, lambda client: client.resume(what, values, user=USER))
    except WorkflowPausedError as again:
        return await _resumed(scenario, mode, again, again.forms)


async def test_several_forms(scenario: Scenario) -> None:
    """The forms of a run, side by side or one after the other, until it has ended."""
    paused = await paused_run(scenario)
    answer = await _resumed(scenario, "human-input", paused, paused.forms)
    assert answer.workflow is not None
    assert answer.workflow.status == "succeeded"
    assert answer.workflow_run_id == paused.workflow_run_id
    assert answer.forms == []


async def test_pause_found_again(scenario: Scenario) -> None:
    """Another process knows the id of the run, and nothing else."""
    run_id = (await paused_run(scenario)).workflow_run_id or ""
    found = await scenario.ask("human-input", lambda client: client.paused_run(run_id, user=USER))
    assert found.forms
    answer = await _resumed(scenario, "human-input", run_id, found.forms)
    assert answer.outputs


async def test_human_input_in_a_chatflow(scenario: Scenario) -> None:
    scenario.since("1.13.0", "human input")
    mode = "chatflow-human-input"
    inputs = await scenario.inputs(mode)
    with pytest.raises(WorkflowPausedError) as paused:
        await scenario.send(mode, chat.send_message("Saturn?", user=USER, inputs=inputs))
    before = paused.value.answer
    assert before is not None
    assert before.conversation_id is not None
    answer = await _resumed(scenario, mode, paused.value, paused.value.forms)
    assert answer.text.startswith(before.text)
    assert answer.message_id == before.message_id
    history = messages.list_messages(before.conversation_id, user=USER)
    told = (await scenario.send(mode, history)).data
    (message,) = [message for message in told if message.id == answer.message_id]
    assert message.answer == answer.text
    submissions = [content["form_submission_data"] for content in message.extra_contents]
    assert submissions
    assert all(submission["submitted_data"] for submission in submissions)


async def test_new_agent_asks(scenario: Scenario) -> None:
    """Its turn ends with what it asks: words, or a form besides."""
    scenario.since("1.16.0", "New Agent apps")
    inputs = await scenario.inputs("agent")
    question = "/pause Use ask_human: may you go on?"
    answer = await scenario.send("agent", chat.send_message(question, user=USER, inputs=inputs))
    assert answer.text
    assert answer.finish_reason == "stop"
    assert all(form.user_actions for form in answer.forms)
