"""What users do with an app, step by step, against every release that was recorded."""

from __future__ import annotations

import pytest

from dify_api import (
    annotations,
    application,
    audio,
    chat,
    completion,
    conversations,
    end_users,
    errors,
    feedback,
    files,
    messages,
    workflows,
)
from dify_api.errors import ConversationNotFoundError, NotFoundError
from tests.contract.scenarios.conftest import Scenario

USER = "user-été"
UNKNOWN = "00000000-0000-0000-0000-000000000001"


async def test_application(scenario: Scenario) -> None:
    info = await scenario.send("chat", application.info())
    assert info.name
    parameters = await scenario.send("chat", application.parameters())
    assert isinstance(parameters.file_upload.enabled, bool)
    limit = parameters.system_parameters.image_file_size_limit
    assert limit is not None
    assert limit > 0
    assert isinstance((await scenario.send("chat", application.meta())).tool_icons, dict)


async def test_site(scenario: Scenario) -> None:
    scenario.since("1.4.0", "GET /site")
    site = await scenario.send("chat", application.site())
    assert site.title
    assert site.default_language


async def test_conversation(scenario: Scenario) -> None:
    inputs = await scenario.inputs("chat")
    message = chat.send_message("Which planet has rings?", user=USER, inputs=inputs)
    answer = await scenario.send("chat", message)
    assert answer.text
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert answer.conversation_id is not None
    conversation = answer.conversation_id
    history = await scenario.send("chat", messages.list_messages(conversation, user=USER))
    assert history.data
    assert {message.conversation_id for message in history.data} == {conversation}
    assert all(message.created_at and message.created_at.tzinfo for message in history.data)
    renamed = await scenario.send("chat", conversations.rename(conversation, "Rings", user=USER))
    assert renamed.id == conversation
    assert renamed.name
    assert await scenario.send("chat", conversations.delete(conversation, user=USER)) is None
    with pytest.raises(ConversationNotFoundError):
        await scenario.send("chat", messages.list_messages(conversation, user=USER))


async def test_second_turn(scenario: Scenario) -> None:
    inputs = await scenario.inputs("chat")
    first = await scenario.send("chat", chat.send_message("Saturn?", user=USER, inputs=inputs))
    second = await scenario.send(
        "chat",
        chat.send_message(
            "And its moons?", user=USER, conversation_id=first.conversation_id, inputs=inputs
        ),
    )
    assert second.conversation_id == first.conversation_id
    assert second.message_id != first.message_id
    assert second.text


async def test_conversations(scenario: Scenario) -> None:
    page = await scenario.send("chat", conversations.list_conversations(user=USER))
    assert page.data
    assert all(conversation.id and conversation.name for conversation in page.data)
    moments = [conversation.updated_at for conversation in page.data]
    assert moments == sorted(moments, key=lambda moment: moment or 0, reverse=True)


async def test_feedback(scenario: Scenario) -> None:
    inputs = await scenario.inputs("chat")
    answer = await scenario.send("chat", chat.send_message("Saturn?", user=USER, inputs=inputs))
    assert answer.message_id is not None
    dislike = feedback.create(answer.message_id, "dislike", user=USER)
    withdrawal = feedback.create(answer.message_id, None, user=USER)
    assert await scenario.send("chat", dislike) is None
    assert await scenario.send("chat", withdrawal) is None
    with pytest.raises(errors.BadRequestError):  # there is nothing left to withdraw
        await scenario.send("chat", withdrawal)


async def test_suggested_questions(scenario: Scenario) -> None:
    await scenario.needs("chat", "suggested_questions_after_answer")
    inputs = await scenario.inputs("chat")
    answer = await scenario.send("chat", chat.send_message("Saturn?", user=USER, inputs=inputs))
    assert answer.message_id is not None
    operation = chat.suggested_questions(answer.message_id, user=USER)
    questions = (await scenario.send("chat", operation)).data
    assert all(question.strip() for question in questions)


async def test_completion(scenario: Scenario) -> None:
    inputs = await scenario.inputs("completion") | {"query": "A haiku about Saturn"}
    answer = await scenario.send("completion", completion.send_message(inputs, user=USER))
    assert answer.text
    assert answer.conversation_id is None
    assert answer.finish_reason == "stop"


async def test_agent(scenario: Scenario) -> None:
    inputs = await scenario.inputs("agent-chat")
    message = chat.send_message("Which planet has rings?", user=USER, inputs=inputs)
    answer = await scenario.send("agent-chat", message)
    assert answer.text
    assert answer.agent_thoughts


async def test_new_agent(scenario: Scenario) -> None:
    scenario.since("1.16.0", "New Agent apps")
    answer = await scenario.send("agent", chat.send_message("Which planet has rings?", user=USER))
    assert answer.text
    assert answer.message_id


async def test_workflow(scenario: Scenario) -> None:
    inputs = await scenario.inputs("workflow")
    answer = await scenario.send("workflow", workflows.run(inputs, user=USER))
    assert answer.workflow is not None
    assert answer.workflow.status == "succeeded"
    assert answer.outputs is not None
    assert answer.workflow_run_id is not None
    run = await scenario.send("workflow", workflows.run_detail(answer.workflow_run_id))
    assert run.outputs is None or isinstance(run.outputs, dict)
    assert run.total_steps
    logs = await scenario.send("workflow", workflows.logs(limit=5))
    assert all(log.workflow_run.status for log in logs.data)


async def test_attach(scenario: Scenario) -> None:
    scenario.since("1.13.0", "GET /workflow/{workflow_run_id}/events")
    inputs = await scenario.inputs("workflow")
    answer = await scenario.send("workflow", workflows.run(inputs, user=USER))
    assert answer.workflow_run_id is not None
    events = workflows.events(answer.workflow_run_id, user=USER)
    again = await scenario.send("workflow", events)
    assert again.workflow is not None
    assert again.workflow.status == "succeeded"
    assert again.outputs


async def test_trace_session(scenario: Scenario) -> None:
    scenario.since("1.16.0", "sessions of traces")
    inputs = await scenario.inputs("chat")
    message = chat.send_message("Saturn?", user=USER, inputs=inputs)
    traced = message.traced(trace_id="trace-1", trace_session_id="s" * 200)
    assert (await scenario.send("chat", traced)).text


async def test_conversation_variables(scenario: Scenario) -> None:
    scenario.since("1.7.2", "PUT of a conversation variable")
    inputs = await scenario.inputs("advanced-chat")
    message = chat.send_message("Which planet has rings?", user=USER, inputs=inputs)
    answer = await scenario.send("advanced-chat", message)
    assert answer.conversation_id is not None
    operation = conversations.variables(answer.conversation_id, user=USER)
    page = await scenario.send("advanced-chat", operation)
    lists = [v for v in page.data if v.value_type == "array[string]"]
    if not lists:
        pytest.skip("the chatflow app has no conversation variable of type array[string]")
    assert all(isinstance(variable.parsed_value, list) for variable in lists)
    changed = await scenario.send(
        "advanced-chat",
        conversations.update_variable(answer.conversation_id, lists[0].id, ["x", "y"], user=USER),
    )
    assert (changed.name, changed.parsed_value) == (lists[0].name, ["x", "y"])


async def test_upload(scenario: Scenario) -> None:
    upload = files.upload("Saturn has rings. ☀".encode(), user=USER, name="notes.txt")
    uploaded = await scenario.send("chat", upload)
    assert uploaded.extension == "txt"
    assert files.reference(uploaded)["type"] == "document"
    assert uploaded.created_at is not None
    assert uploaded.created_by is not None


async def test_preview(scenario: Scenario) -> None:
    scenario.since("1.7.2", "GET /files/{file_id}/preview")
    with pytest.raises(NotFoundError):
        await scenario.send("chat", files.preview(UNKNOWN, user=USER))


async def test_end_user(scenario: Scenario) -> None:
    scenario.since("1.13.0", "GET /end-users/{end_user_id}")
    uploaded = await scenario.send("chat", files.upload(b"x", user=USER, name="notes.txt"))
    assert uploaded.created_by is not None
    end_user = await scenario.send("chat", end_users.get(uploaded.created_by))
    assert end_user.session_id == USER
    assert end_user.created_at is not None
    with pytest.raises(errors.EndUserNotFoundError):
        await scenario.send("chat", end_users.get(UNKNOWN))


async def test_speech(scenario: Scenario) -> None:
    await scenario.needs("chat", "text_to_speech")
    spoken = await scenario.send("chat", audio.to_speech("Saturn has rings.", user=USER))
    assert len(spoken) > 100
    assert audio.type_of_speech(spoken).startswith("audio/")


async def test_transcript(scenario: Scenario) -> None:
    await scenario.needs("chat", "speech_to_text")
    silence = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00"
    silence += b"\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"
    operation = audio.to_text(silence, user=USER, name="silence.wav")
    assert isinstance((await scenario.send("chat", operation)).text, str)


async def test_annotations(scenario: Scenario) -> None:
    scenario.since("1.3.1", "PUT of an annotation")
    created = await scenario.send("chat", annotations.create("How many moons?", "146 ☀"))
    assert created.id
    updated = await scenario.send("chat", annotations.update(created.id, "How many?", "147 ☀"))
    assert updated.id == created.id
    page = await scenario.send("chat", annotations.list_annotations(limit=20))
    assert all(annotation.question and annotation.created_at for annotation in page.data)
    assert await scenario.send("chat", annotations.delete(created.id)) is None
    with pytest.raises(NotFoundError):
        await scenario.send("chat", annotations.delete(created.id))


async def test_wrong_key(scenario: Scenario) -> None:
    with pytest.raises(errors.UnauthorizedError, match="api_key"):
        operation = chat.send_message("Saturn?", user=USER)
        await scenario.ask_with("app-wrong", lambda client: client.send(operation))


async def test_wrong_app_type(scenario: Scenario) -> None:
    with pytest.raises(errors.NotWorkflowAppError, match="another type"):
        await scenario.send("chat", workflows.run({}, user=USER))
