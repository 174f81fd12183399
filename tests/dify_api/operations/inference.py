"""A user's code. Type checkers are to know each result; `test_inference` has them check."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from typing_extensions import assert_type

from dify_api import (
    Answer,
    AsyncDifyClient,
    DifyClient,
    application,
    audio,
    chat,
    completion,
    conversations,
    documents,
    end_users,
    events,
    feedback,
    files,
    human_input,
    knowledge,
    messages,
    segments,
    tags,
    workflows,
)
from dify_api import annotations as app_annotations
from dify_api.answers.events import MessageEvent
from dify_api.endpoints.annotations import Annotation, AnnotationReplyJob
from dify_api.endpoints.application import Info, Meta, Parameters, Site
from dify_api.endpoints.audio import Transcript
from dify_api.endpoints.chat import SuggestedQuestions
from dify_api.endpoints.conversations import Conversation, ConversationVariable
from dify_api.endpoints.documents import Document, DocumentBatch
from dify_api.endpoints.end_users import EndUser
from dify_api.endpoints.feedback import Feedback
from dify_api.endpoints.files import UploadedFile
from dify_api.endpoints.human_input import Form
from dify_api.endpoints.knowledge import Dataset, RetrieveResult
from dify_api.endpoints.messages import Message
from dify_api.endpoints.pages import Page
from dify_api.endpoints.segments import Segment
from dify_api.endpoints.tags import Tag
from dify_api.endpoints.workflows import WorkflowLog, WorkflowRun


def with_a_client(client: DifyClient) -> None:
    assert_type(client.send(chat.send_message("Hello", user="ann")), Answer)
    assert_type(client.send(completion.send_message({}, user="ann")), Answer)
    assert_type(client.send(workflows.run({}, user="ann")), Answer)
    assert_type(client.send(workflows.run_version("id", {}, user="ann")), Answer)
    assert_type(client.send(workflows.events("id", user="ann")), Answer)
    assert_type(client.send(workflows.run_detail("id")), WorkflowRun)
    assert_type(client.send(workflows.logs()), Page[WorkflowLog])
    assert_type(client.send(chat.suggested_questions("id", user="ann")), SuggestedQuestions)
    assert_type(client.send(human_input.form("token")), Form)
    assert_type(client.send(files.upload("saturn.png", user="ann")), UploadedFile)
    assert_type(client.send(files.preview("id", user="ann")), bytes)
    assert_type(client.send(end_users.get("id")), EndUser)
    assert_type(client.send(feedback.list_feedbacks()), Page[Feedback])
    assert_type(client.send(conversations.list_conversations(user="ann")), Page[Conversation])
    assert_type(client.send(conversations.rename("id", "Moons", user="ann")), Conversation)
    assert_type(client.send(audio.to_text("a.mp3", user="ann")), Transcript)
    assert_type(client.send(audio.to_speech("Hello", user="ann")), bytes)
    assert_type(client.send(application.info()), Info)
    assert_type(client.send(application.parameters()), Parameters)
    assert_type(client.send(application.meta()), Meta)
    assert_type(client.send(application.site()), Site)
    assert_type(client.send(app_annotations.create("q", "a")), Annotation)
    assert_type(client.send(app_annotations.reply_status("enable", "id")), AnnotationReplyJob)
    assert_type(client.send(knowledge.datasets()), Page[Dataset])
    assert_type(client.send(knowledge.retrieve("id", "moons")), RetrieveResult)
    text = documents.create_by_text("id", "moons", "...", indexing_technique="economy")
    assert_type(client.send(text), DocumentBatch)
    assert_type(client.send(segments.get("id", "id", "id")), Segment)
    assert_type(client.send(tags.list_tags()), list[Tag])
    assert_type(client.iterate(documents.list_documents("id")), Iterator[Document])
    assert_type(client.iterate(messages.list_messages("id", user="ann")), Iterator[Message])
    assert_type(client.stream_bytes(audio.to_speech("Hello", user="ann")), Iterator[bytes])
    for operation in (
        chat.stop("id", user="ann"),
        feedback.create("id", "like", user="ann"),
        conversations.delete("id", user="ann"),
        human_input.submit("token", {}, action="approve", user="ann"),
    ):
        assert_type(client.send(operation), None)


async def with_an_async_client(client: AsyncDifyClient) -> None:
    assert_type(await client.send(chat.send_message("Hello", user="ann")), Answer)
    assert_type(await client.send(application.parameters()), Parameters)
    assert_type(await client.send(files.preview("id", user="ann")), bytes)
    assert_type(await client.send(knowledge.retrieve("id", "moons")), RetrieveResult)
    variables = conversations.variables("id", user="ann")
    assert_type(await client.send(variables), Page[ConversationVariable])
    assert_type(client.iterate(variables), AsyncIterator[ConversationVariable])
    preview = client.stream_bytes(files.preview("id", user="ann"))
    assert_type(preview, AsyncIterator[bytes])


def with_events(client: DifyClient) -> None:
    with client.stream(chat.send_message("Hello", user="ann")) as stream:
        for event in stream:
            assert_type(event, events.Event)
            if isinstance(event, events.MessageEvent):
                assert_type(event, MessageEvent)
                assert_type(event.answer, str)
            elif isinstance(event, events.WorkflowFinishedEvent):
                assert_type(event.data, events.WorkflowFinished)
