"""A paused run goes on in the same answer: forms, resume, and a pause found again."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from dify_api import Answer, AsyncDifyClient, DifyClient, chat, errors, human_input, workflows
from dify_api.answers.events import HumanInputForm, MessageEvent
from dify_api.answers.forms import Form
from dify_local import LocalDify
from tests.support.cassettes import exchange
from tests.support.replay import Reply
from tests.support.story import Story

MAIN = "dify-1.16.1"
FILLED = {"comment": "looks good", "risk": "low", "action": "approve"}
WORKFLOW_RUN = "f4d203d4-6630-4585-9457-d5fee9014018"
EVENTS = f"/workflow/{WORKFLOW_RUN}/events"
FORM = "/form/human_input/SSdAF192H70WSbicnMdaEW"
SECOND_FORM = "/form/human_input/mUod3nc1d0ysO1GG6184nX"
TAKEN = exchange(f"{MAIN}/hitl_par_post2")
PARALLEL_RUN = "f7748a5e-3837-43fd-860d-ba8408f3f2ca"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


def client_of(server: LocalDify, app: str, **options: Any) -> DifyClient:
    return DifyClient(server.keys[app], base_url=server.base_url, **options)


def ask(app: str, query: str = "/pause The draft.") -> Any:
    if app == "workflow":
        return workflows.run({"text": query}, user="ann")
    return chat.send_message(query, user="ann")


def pause(client: DifyClient, operation: Any) -> errors.WorkflowPausedError:
    with pytest.raises(errors.WorkflowPausedError) as paused:
        client.send(operation)
    return paused.value


def recorded_pause(name: str = "hitl_chatflow_pause_streaming") -> errors.WorkflowPausedError:
    with Story(f"{MAIN}/{name}") as server:
        client = DifyClient("app-x", base_url=server.base_url)
        return pause(client, ask("workflow" if "workflow" in name else "chat"))


# Forms ---------------------------------------------------------------------------------------


def test_a_pause_tells_its_forms_and_survives_a_pickle() -> None:
    paused = pickle.loads(pickle.dumps(recorded_pause()))
    assert paused.answer.text == "Draft: w0 w1 w2 \n"
    assert paused.forms == paused.answer.forms
    (form,) = paused.forms
    assert [item.output_variable_name for item in form.inputs] == ["comment", "risk"]
    assert [action.title for action in form.actions] == ["Approve", "Reject"]
    assert form.actions == form.user_actions
    assert "client.resume(" in str(paused)
    assert "ann" not in f"{paused} {paused!r}"


def test_the_schema_of_a_form() -> None:
    schema = recorded_pause().forms[0].response_schema()
    assert schema["properties"]["comment"] == {
        "title": "comment",
        "type": "string",
        "default": "fine",
    }
    assert schema["properties"]["risk"]["enum"] == ["low", "high"]
    assert schema["properties"]["action"]["enum"] == ["approve", "reject"]
    assert schema["properties"]["action"]["oneOf"][1] == {"const": "reject", "title": "Reject"}
    assert schema["required"] == ["comment", "risk", "action"]


def test_a_form_is_the_same_by_its_events_and_by_its_token() -> None:
    by_token = Form.model_validate(exchange("dify-1.16.0/hitlfix_form_get").json)
    actions = by_token.response_schema()["properties"]["action"]
    assert actions["enum"] == [action.id for action in by_token.actions]
    assert actions["enum"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**FILLED, "risk": "none"}, "risk takes one of low, high, not 'none'"),
        ({**FILLED, "comment": 3}, "comment takes a text"),
        ({"comment": "x", "action": "approve"}, "risk is missing: it takes one of low, high"),
        ({"comment": "x", "risk": "low"}, "action is missing: choose one of approve, reject"),
        ({**FILLED, "action": "burn"}, "action is 'burn': choose one of approve, reject"),
        ({**FILLED, "colour": "red"}, "the form has no input colour: it has comment, risk, action"),
        ("approve", "filled with a mapping"),
    ],
)
def test_what_a_form_does_not_take_is_refused_before_a_request(values: Any, message: str) -> None:
    paused = recorded_pause()
    with Story() as server:
        client = DifyClient("app-x", base_url=server.base_url)
        if isinstance(values, dict):
            with pytest.raises(ValueError, match=message):
                client.resume(paused, {"human": values}, user="ann")
        with pytest.raises(ValueError, match=message):
            paused.forms[0].check(values)
        assert server.requests == []


def test_files_of_a_form_are_checked() -> None:
    form = HumanInputForm.model_validate(
        {
            "inputs": [
                {
                    "type": "file",
                    "output_variable_name": "doc",
                    "allowed_file_types": ["document"],
                    "allowed_file_upload_methods": ["local_file"],
                },
                {"type": "file-list", "output_variable_name": "docs", "number_limits": 1},
            ],
            "actions": [{"id": "ok"}],
        }
    )
    doc = {"type": "document", "transfer_method": "local_file", "upload_file_id": "f1"}
    link = {"type": "document", "transfer_method": "remote_url", "url": "https://x.example/a"}
    good = {"doc": doc, "docs": [link], "action": "ok"}
    assert form.check(good) == ({"doc": doc, "docs": [link]}, "ok")
    for bad in ({"doc": link}, {"doc": {**doc, "type": "image"}}, {"doc": "f1"}):
        with pytest.raises(ValueError, match=r"doc takes a file reference.*document.*local_file"):
            form.check({**good, **bad})
    with pytest.raises(ValueError, match=r"docs takes a list of file references.*at most 1"):
        form.check({**good, "docs": [link, link]})
    assert form.response_schema()["properties"]["docs"]["maxItems"] == 1


def test_an_input_called_action_leaves_its_name_to_the_other() -> None:
    form = HumanInputForm.model_validate(
        {"inputs": [{"output_variable_name": "action"}], "actions": [{"id": "ok"}]}
    )
    assert form.check({"action": "jump", "__action_id": "ok"}) == ({"action": "jump"}, "ok")
    assert form.response_schema()["properties"]["__action_id"]["enum"] == ["ok"]


def test_a_form_that_went_out_by_mail_is_not_filled_here() -> None:
    with Story(f"{MAIN}/hitl_email_pause_blocking") as server:
        client = DifyClient("app-x", base_url=server.base_url)
        paused = pause(client, ask("workflow"))
        values = {"comment": "x", "risk": "low", "action": "approve"}
        with pytest.raises(ValueError, match="went out by e-mail"):
            client.resume(paused, {paused.forms[0].node_id or "": values}, user="ann")


# Resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
@pytest.mark.parametrize("given", ["error", "answer", "id"])
def test_what_follows_belongs_to_the_same_answer(local: LocalDify, app: str, given: str) -> None:
    client = client_of(local, app)
    local.clear()
    paused = pause(client, ask(app))
    what = {
        "error": pickle.loads(pickle.dumps(paused)),
        "answer": paused.answer,
        "id": paused.workflow_run_id,
    }[given]
    answer = client.resume(what, {"comment": "Fine", "action": "approve"}, user="ann")
    outputs = answer.outputs or {}
    assert outputs.get("answer", outputs.get("text")) == "The draft.\nApprove: Fine"
    if (app, given) != ("workflow", "id"):
        assert answer.text == "The draft.\nApprove: Fine"
    assert answer.finish_reason == "stop"
    assert answer.forms == []
    assert paused.answer is not None
    assert answer.workflow_run_id == paused.workflow_run_id
    assert answer.message_id == paused.answer.message_id
    starts = [r for r in local.requests if r.path.endswith(("/run", "/chat-messages"))]
    assert len(starts) == 1


async def test_asyncio_resumes_too(local: LocalDify) -> None:
    key = local.keys["advanced-chat"]
    paused = pause(client_of(local, "advanced-chat"), ask("advanced-chat"))
    client = AsyncDifyClient(key, base_url=local.base_url)
    filled = {"human": {"comment": "Fine", "action": "reject"}}
    async with client.resume_stream(paused, filled, user="ann") as stream:
        texts = [event.answer async for event in stream if isinstance(event, MessageEvent)]
    assert "".join(texts) == "\nReject: Fine"
    assert stream.answer.text == "The draft.\nReject: Fine"
    assert stream.answer.streamed_text == stream.answer.text
    found = await client.resume(paused, filled, user="ann")  # again: it goes on to the answer
    assert found.text == stream.answer.text


def test_a_recorded_chatflow_goes_on() -> None:
    paused = recorded_pause()
    with Story(
        f"{MAIN}/hitl_chatflow_form_post_ok", f"{MAIN}/hitl_chatflow_events_resume_live"
    ) as server:
        answer = DifyClient("app-x", base_url=server.base_url).resume(paused, FILLED, user="ann")
        assert server.calls() == ["POST form", "GET events"]
        assert server.requests[0].json == {
            "inputs": {"comment": "looks good", "risk": "low"},
            "action": "approve",
            "user": "ann",
        }
    assert answer.text == "Draft: w0 w1 w2 \napproved with looks good and risk low"
    assert answer.streamed_text == answer.text
    assert paused.answer is not None
    assert answer.task_id == paused.answer.task_id
    assert answer.usage is not None


@pytest.mark.parametrize(
    "late",
    ["hitl_events_finished_none", "hitl_events_after_300ms_none", "hitl_events_at_once_none"],
)
def test_a_late_attach_still_has_the_outputs(late: str) -> None:
    """Recorded 0, 0.3 and more seconds after the submit: the end tells all."""
    paused = recorded_pause("hitl_workflow_pause_streaming")
    events = exchange(f"{MAIN}/{late}")
    story = Story(f"{MAIN}/hitl_form_post_ok")
    with story.also("GET", EVENTS, events.reply()) as server:
        answer = DifyClient("app-x", base_url=server.base_url).resume(paused, FILLED, user="ann")
    assert answer.outputs
    assert answer.finish_reason == "stop"


def test_a_finished_chatflow_tells_its_text() -> None:
    with Story(f"{MAIN}/hitl_chatflow_events_finished_none") as server:
        operation = workflows.events("2efc92f6-4e55-47d8-a692-9e7b5cc1ca1c", user="ann")
        answer = DifyClient("app-x", base_url=server.base_url).send(operation)
    assert answer.text == "Draft: w0 w1 w2 \napproved with looks good and risk low"


def test_two_forms_are_submitted_one_after_the_other() -> None:
    """As recorded: after the first the run waits again, with the token of the other."""
    with Story(
        f"{MAIN}/hitl_par_run_detail_paused",
        f"{MAIN}/hitl_par_events_paused_snapshot",
        f"{MAIN}/hitl_par_events_after_first",
        f"{MAIN}/hitl_par_events_end",
        f"{MAIN}/hitl_par_post2",
    ) as server:
        server.also("POST", SECOND_FORM, TAKEN.reply())
        client = DifyClient("app-x", base_url=server.base_url)
        paused = client.paused_run(PARALLEL_RUN, user="ann")
        nodes = {form.node_title: form.node_id for form in paused.forms}
        values = {
            "Second": {"comment": "first", "action": "approve"},
            nodes["First"] or "": {"comment": "second", "action": "approve"},
        }
        answer = client.resume(paused, values, user="ann")
        assert server.calls()[2:] == ["POST form", "GET events", "POST form", "GET events"]
    assert answer.outputs
    assert answer.forms == []


def test_the_other_form_is_the_next_pause() -> None:
    with Story(
        f"{MAIN}/hitl_par_run_detail_paused",
        f"{MAIN}/hitl_par_events_paused_snapshot",
        f"{MAIN}/hitl_par_events_after_first",
    ) as server:
        server.also("POST", SECOND_FORM, TAKEN.reply())
        client = DifyClient("app-x", base_url=server.base_url)
        paused = client.paused_run(PARALLEL_RUN, user="ann")
        with pytest.raises(ValueError, match=r"no form comment, action is waited for"):
            client.resume(paused, {"comment": "x", "action": "approve"}, user="ann")
        with pytest.raises(errors.WorkflowPausedError) as again:
            client.resume(paused, {"Second": {"comment": "x", "action": "approve"}}, user="ann")
    assert [form.node_title for form in again.value.forms] == ["First"]
    assert again.value.workflow_run_id == PARALLEL_RUN


def test_a_resume_that_was_cut_short_is_repeated(local: LocalDify) -> None:
    client = client_of(local, "advanced-chat")
    paused = pause(client, ask("advanced-chat"))
    form = paused.forms[0]
    client.send(
        human_input.submit(form.form_token or "", {"comment": "Fine"}, action="approve", user="ann")
    )
    answer = client.resume(paused, {"comment": "Fine", "action": "approve"}, user="ann")
    assert answer.text == "The draft.\nApprove: Fine"


def test_a_pause_that_was_answered_is_passed_over() -> None:
    """A snapshot that follows the submit at once replays the old pause (recorded)."""
    paused = recorded_pause("hitl_workflow_pause_streaming")
    stale = exchange(f"{MAIN}/hitl_workflow_pause_streaming").reply()
    taken = exchange(f"{MAIN}/hitl_form_post_again").reply()
    ended = exchange(f"{MAIN}/hitl_events_finished_none").reply()
    story = Story().also("POST", FORM, taken).also("GET", EVENTS, stale, ended)
    with story as server:
        answer = DifyClient("app-x", base_url=server.base_url).resume(paused, FILLED, user="ann")
        assert server.calls() == ["POST form", "GET events?snapshot", "GET events?snapshot"]
    assert answer.finish_reason == "stop"
    assert answer.outputs


def test_pings_alone_make_us_look_where_the_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits again before we attach says nothing by itself (recorded)."""
    monkeypatch.setattr("dify_api._runs.following.PATIENCE", 0.1)
    with Story(
        f"{MAIN}/hitl_par_run_detail_paused",
        f"{MAIN}/hitl_par_events_paused_snapshot",
        (
            f"{MAIN}/hitl_par_events_after_first",
            Reply(200, {"content-type": "text/event-stream"}, [b"event: ping\n\n"], "open"),
        ),
        f"{MAIN}/hitl_par_events_after_first_snapshot",
    ) as server:
        server.also("POST", SECOND_FORM, TAKEN.reply())
        client = DifyClient("app-x", base_url=server.base_url)
        paused = client.paused_run(PARALLEL_RUN, user="ann")
        answer = {"Second": {"comment": "x", "action": "approve"}}
        with pytest.raises(errors.WorkflowPausedError) as again:
            client.resume(paused, answer, user="ann")
        assert server.calls()[-2:] == ["GET events", "GET events?snapshot"]
    assert [form.node_title for form in again.value.forms] == ["First"]


def test_an_expired_form_has_an_error_of_its_own() -> None:
    paused = recorded_pause("hitl_workflow_pause_streaming")
    expired = exchange(f"{MAIN}/hitl_timeout_workflow_form_post_expired").reply()
    story = Story()
    with (
        story.also("POST", FORM, expired) as server,
        pytest.raises(errors.HumanInputFormExpiredError) as raised,
    ):
        DifyClient("app-x", base_url=server.base_url).resume(paused, FILLED, user="ann")
    assert raised.value.answer is not None
    assert raised.value.answer.workflow_run_id == WORKFLOW_RUN


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_a_pause_is_found_again_from_the_run_alone(local: LocalDify, app: str) -> None:
    client = client_of(local, app)
    paused = pause(client, ask(app))
    found = client.paused_run(paused.workflow_run_id or "", user="ann")
    assert [form.form_token for form in found.forms] == [paused.forms[0].form_token]
    answer = client.resume(found, {"comment": "Fine", "action": "approve"}, user="ann")
    assert answer.finish_reason == "stop"
    with pytest.raises(errors.NotPausedError, match="succeeded"):
        client.paused_run(paused.workflow_run_id or "", user="ann")


def test_an_answer_without_a_run_is_not_resumed() -> None:
    with pytest.raises(ValueError, match="no workflow_run_id"):
        DifyClient("app-x").resume(Answer(text="x"), {"action": "a"}, user="ann")


# Leaving, and being stopped ------------------------------------------------------------------


@pytest.mark.parametrize("last", ["human_input_required", "workflow_paused"])
async def test_leaving_at_a_form_stops_nothing(local: LocalDify, last: str) -> None:
    local.clear()
    client = client_of(local, "workflow")
    with client.stream(ask("workflow")) as stream:
        for event in stream:
            if event.event == last:
                break
    key = local.keys["workflow"]
    async with AsyncDifyClient(key, base_url=local.base_url).stream(ask("workflow")) as again:
        async for event in again:
            if event.event == last:
                break
    assert local.stopped == []
    answer = client.resume(stream.answer, {"comment": "Fine", "action": "approve"}, user="ann")
    assert answer.finish_reason == "stop"


def test_a_run_that_somebody_stopped_is_an_error_with_what_there_is() -> None:
    stopped = exchange(f"{MAIN}/hitl_stop_paused_events")
    paused = recorded_pause("hitl_workflow_pause_streaming")
    story = Story(f"{MAIN}/hitl_form_post_ok")
    with (
        story.also("GET", EVENTS, stopped.reply()) as server,
        pytest.raises(errors.WorkflowStoppedError) as raised,
    ):
        DifyClient("app-x", base_url=server.base_url).resume(paused, FILLED, user="ann")
    assert raised.value.answer is not None
    assert raised.value.answer.finish_reason == "stopped"
    assert raised.value.answer.workflow_run_id == WORKFLOW_RUN


def test_a_run_that_we_stopped_ends_with_what_there_is() -> None:
    with LocalDify(token_delay=0.02) as server:
        client = client_of(server, "advanced-chat")
        with client.stream(ask("advanced-chat", "/tokens 200")) as stream:
            for event in stream:
                if isinstance(event, MessageEvent) and stream.task_id and not server.stopped:
                    client.send(chat.stop(stream.task_id, user="ann"))
    assert stream.answer.finish_reason == "stopped"
    assert stream.answer.text


def test_a_new_agent_that_asks_answers_with_its_form() -> None:
    frames = [
        b'data: {"event":"agent_message","task_id":"t","message_id":"m","conversation_id":"c",'
        b'"answer":"Shall I?"}\n\n',
        b'data: {"event":"human_input_required","task_id":"t","message_id":"m",'
        b'"data":{"form_id":"f","form_token":"k","node_title":"Ask","actions":[{"id":"yes"}]}}\n\n',
        b'data: {"event":"message_end","task_id":"t","message_id":"m","metadata":{}}\n\n',
    ]
    story = Story()
    story.reply = lambda _: Reply(200, {"content-type": "text/event-stream"}, list(frames))
    with story as server:
        answer = DifyClient("app-x", base_url=server.base_url).send(ask("agent", "Hi"))
    assert answer.text == "Shall I?"
    assert [form.form_token for form in answer.forms] == ["k"]
    assert answer.finish_reason == "stop"


def test_two_pauses_in_one_loop(local: LocalDify) -> None:
    """Many apps paused at once, resumed together: each has its own answer."""
    key = local.keys["advanced-chat"]

    async def one(number: int) -> str:
        client = AsyncDifyClient(key, base_url=local.base_url)
        try:
            await client.send(ask("advanced-chat", f"/pause Draft {number}"))
        except errors.WorkflowPausedError as paused:
            values = {"comment": f"c{number}", "action": "approve"}
            return (await client.resume(paused, values, user="ann")).text
        raise AssertionError("it did not pause")

    async def main() -> list[str]:
        return await asyncio.gather(*map(one, range(5)))

    assert asyncio.run(main()) == [f"Draft {n}\nApprove: c{n}" for n in range(5)]


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_forms_in_parallel_are_filled_in_one_call(local: LocalDify, app: str) -> None:
    client = client_of(local, app)
    paused = pause(client, ask(app, "/pause One || Two || Three"))
    filled = {
        form.node_title or "": {"comment": f"c{number}", "action": "approve"}
        for number, form in enumerate(paused.forms)
    }
    answer = client.resume(paused, filled, user="ann")
    assert answer.text.endswith("Approve: c0\nApprove: c1\nApprove: c2")
    assert answer.forms == []


def test_of_forms_in_parallel_those_that_are_left_are_the_next_pause(local: LocalDify) -> None:
    client = client_of(local, "workflow")
    paused = pause(client, ask("workflow", "/pause One || Two"))
    filled = {"comment": "c", "action": "approve"}
    with pytest.raises(errors.WorkflowPausedError) as again:
        client.resume(paused, {"human2": filled}, user="ann")
    assert [form.node_id for form in again.value.forms] == ["human"]
    answer = client.resume(again.value, {"human": filled}, user="ann")
    assert answer.finish_reason == "stop"
