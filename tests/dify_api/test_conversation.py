"""The rule that messages a list of messages into one request."""

from __future__ import annotations

import pytest

from dify_api._calls.conversation import (
    Anchor,
    InputMessage,
    Request,
    plan_request,
    user_fingerprint,
)


def answer(
    text: str = "Hi", conversation: str = "c1", app: str = "app", user: str = "ann"
) -> InputMessage:
    return InputMessage("assistant", text, Anchor(conversation, "m1", app, user_fingerprint(user)))


def plan(*messages: InputMessage, **options: object) -> Request:
    return plan_request(messages, **{"app": "app", "user": "ann", **options})  # type: ignore[arg-type]  # options of the test


ASK, AGAIN = InputMessage("user", "Hello"), InputMessage("user", "And then?")


def test_a_lone_human_message_is_the_query_verbatim() -> None:
    assert plan(InputMessage("user", "  Hello\n")) == Request("  Hello\n", None, None, 0)


def test_only_what_follows_our_answer_is_sent() -> None:
    assert plan(InputMessage("system", "Be brief."), ASK, answer(), AGAIN) == Request(
        "And then?", "c1", None, 3, "m1"
    )


def test_the_newest_anchor_counts() -> None:
    request = plan(ASK, answer(conversation="old"), AGAIN, answer(conversation="new"), ASK)
    assert (request.conversation_id, request.query) == ("new", "Hello")


@pytest.mark.parametrize(
    "stranger", [answer(app="other"), answer(user="bob"), InputMessage("assistant", "Hi")]
)
def test_no_conversation_crosses_apps_or_users(stranger: InputMessage) -> None:
    request = plan(ASK, stranger, AGAIN)
    assert request.conversation_id is None
    assert request.query == ("The conversation so far:\nUser: Hello\nAssistant: Hi\n\nAnd then?")


def test_a_foreign_answer_after_ours_is_told() -> None:
    request = plan(ASK, answer(), AGAIN, InputMessage("assistant", "Foreign"), ASK)
    assert request.conversation_id == "c1"
    assert request.query == (
        "The conversation so far:\nUser: And then?\nAssistant: Foreign\n\nHello"
    )


def test_the_calls_own_conversation_wins() -> None:
    request = plan(ASK, answer(), AGAIN, conversation_id="mine")
    assert (request.conversation_id, request.query, request.message_id) == (
        "mine",
        "And then?",
        None,
    )
    assert plan(ASK, conversation_id="mine").query == "Hello"
    named = plan(ASK, answer(), AGAIN, conversation_id="c1")
    assert (named.query, named.message_id) == ("And then?", "m1")


def test_several_new_messages_go_out_together() -> None:
    request = plan(
        ASK,
        answer(),
        InputMessage("tool", "42", name="sum"),
        InputMessage("tool", "7"),
        InputMessage("user", "So?"),
    )
    assert request.query == "Result of the tool sum: 42\n\nResult of the tool: 7\n\nSo?"


def test_system_text_is_written_above_a_new_conversation() -> None:
    assert plan(InputMessage("system", "Be brief."), ASK).query == "Be brief.\n\nHello"


def test_system_text_as_an_input_goes_out_on_every_turn() -> None:
    first = plan(InputMessage("system", "Be brief."), ASK, system_as_input=True)
    assert (first.query, first.system) == ("Hello", "Be brief.")
    later = plan(InputMessage("system", "Be brief."), ASK, answer(), AGAIN, system_as_input=True)
    assert (later.query, later.system) == ("And then?", "Be brief.")


def test_client_memory_starts_anew_with_everything_written_out() -> None:
    request = plan(ASK, answer(), AGAIN, memory="client")
    assert request.conversation_id is None
    assert request.query == "The conversation so far:\nUser: Hello\nAssistant: Hi\n\nAnd then?"


@pytest.mark.parametrize("messages", [(), (ASK, answer())])
def test_nothing_to_send_is_a_clear_error(messages: tuple[InputMessage, ...]) -> None:
    with pytest.raises(ValueError, match="human message"):
        plan(*messages)
