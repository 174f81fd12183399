"""Forms with choices and files: taken and refused as real servers do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dify_api import DifyClient, chat, files, human_input, messages, workflows
from dify_api.answers.forms import HumanInputForm
from dify_api.errors import BadRequestError, PreconditionFailedError, WorkflowPausedError
from dify_local import LocalDify
from tests.support.cassettes import exchange
from tests.support.file_form import PAPERS

RECORDED = "dify-1.16.1/hitl_file_post_"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalDify]:
    with LocalDify(version="1.17.0", apps=[PAPERS]) as server:
        yield server


@pytest.fixture
def client(server: LocalDify) -> DifyClient:
    return DifyClient(server.keys["papers"], base_url=server.base_url)


def paused_run(client: DifyClient) -> WorkflowPausedError:
    with pytest.raises(WorkflowPausedError) as paused:
        client.send(workflows.run({}, user="ann"))
    return paused.value


def uploaded(client: DifyClient, user: str = "ann") -> dict[str, Any]:
    return files.reference(client.send(files.upload(b"Rings.", user=user, name="rings.txt")))


def post(server: LocalDify, form: HumanInputForm, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"{server.base_url}/form/human_input/{form.form_token}",
        headers={"authorization": f"Bearer {server.keys['papers']}"},
        json=body,
    )


def as_recorded(name: str, file: dict[str, Any]) -> dict[str, Any]:
    """The body of a recorded request, with a file of this server."""
    text = json.dumps(exchange(f"{RECORDED}{name}").request_json)
    for part in json.loads(text)["inputs"].values():
        for one in part if isinstance(part, list) else [part]:
            if isinstance(one, dict) and "upload_file_id" in one:
                text = text.replace(one["upload_file_id"], file["upload_file_id"])
    body: dict[str, Any] = json.loads(text)
    body["inputs"]["risk"] = "low"
    return body


@pytest.mark.parametrize("name", ["text_for_file", "too_many", "wrong_type"])
def test_refused_as_recorded(name: str, server: LocalDify, client: DifyClient) -> None:
    (form,) = paused_run(client).forms
    reply = post(server, form, as_recorded(name, uploaded(client)))
    assert reply.status_code == 400
    assert reply.json() == exchange(f"{RECORDED}{name}").json


@pytest.mark.parametrize("name", ["ok", "empty_list", "remote_url"])
def test_taken_as_recorded(name: str, server: LocalDify, client: DifyClient) -> None:
    paused = paused_run(client)
    body = as_recorded(name, uploaded(client))
    assert post(server, paused.forms[0], body).status_code == 200
    events = workflows.events(paused.workflow_run_id or "", user="ann")
    outputs = client.send(events).outputs or {}
    recorded = exchange("dify-1.16.1/hitl_file_run_detail").json["outputs"]
    assert outputs["doc"].keys() == recorded["doc"].keys()
    assert len(outputs["docs"]) == len(body["inputs"]["docs"])
    assert outputs["risk"] == "low"


def test_a_choice_is_a_text(server: LocalDify, client: DifyClient) -> None:
    (form,) = paused_run(client).forms
    body = as_recorded("empty_list", uploaded(client))
    body["inputs"]["risk"] = 1
    recorded = exchange("dify-1.16.1/hitl_form_post_select_number")
    assert post(server, form, body).json() == recorded.json


def test_an_unknown_file_is_refused(server: LocalDify, client: DifyClient) -> None:
    paused = paused_run(client)
    file = {**uploaded(client), "upload_file_id": "00000000-0000-0000-0000-000000000001"}
    values = {"risk": "low", "note": "n", "doc": file, "docs": [], "action": "approve"}
    with pytest.raises(BadRequestError, match="'doc'"):
        client.resume(paused, values, user="ann")
    with pytest.raises(ValueError, match="docs takes a list of file references"):
        client.resume(paused, {**values, "docs": [file, file, file]}, user="ann")


def test_what_was_filled_in_is_in_the_history() -> None:
    with LocalDify(version="1.17.0") as server:
        client = DifyClient(server.keys["advanced-chat"], base_url=server.base_url)
        with pytest.raises(WorkflowPausedError) as paused:
            client.send(chat.send_message("/pause The draft.", user="ann"))
        assert paused.value.answer is not None
        conversation = paused.value.answer.conversation_id or ""
        client.resume(paused.value, {"comment": "Fine", "action": "approve"}, user="ann")
        (message,) = client.send(messages.list_messages(conversation, user="ann")).data
    (ours,) = message.extra_contents
    recorded = exchange("dify-1.16.1/hitl_chatflow_messages_done").json["data"][0]
    (theirs,) = recorded["extra_contents"]
    assert ours["form_submission_data"]["submitted_data"] == {"comment": "Fine"}
    assert ours.keys() == theirs.keys()
    assert ours["form_submission_data"].keys() == theirs["form_submission_data"].keys()


def test_a_form_that_was_answered_stays_known() -> None:
    """As recorded: it is refused as answered, and shown in the history, beside the next one."""
    with LocalDify(version="1.17.0") as server:
        client = DifyClient(server.keys["advanced-chat"], base_url=server.base_url)
        with pytest.raises(WorkflowPausedError) as paused:
            client.send(chat.send_message("/pause One || Two", user="ann"))
        token = paused.value.forms[0].form_token or ""
        filled = {"comment": "Fine", "action": "approve"}
        with pytest.raises(WorkflowPausedError) as again:
            client.resume(paused.value, {token: filled}, user="ann")
        with pytest.raises(PreconditionFailedError) as refused:
            client.send(human_input.form(token))
        conversation = again.value.answer.conversation_id if again.value.answer else ""
        (message,) = client.send(messages.list_messages(conversation or "", user="ann")).data
    assert refused.value.code == "human_input_form_submitted"
    assert [content["submitted"] for content in message.extra_contents] == [True, False]
