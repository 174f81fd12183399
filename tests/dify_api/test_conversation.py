"""The rule that messages a list of messages into one request."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dify_api._calls.conversation import Instructions, Request, plan_request
from dify_api._calls.fingerprints import text_hash, user_fingerprint
from dify_api._calls.input_message import Anchor, InputMessage, marks
from dify_api._calls.transcript import read_results, without_transcript, write_out


def answer(
    text: str = "Hi",
    conversation: str = "c1",
    app: str = "app",
    user: str = "ann",
    system: str | None = None,
    tools: str | None = None,
) -> InputMessage:
    told = [text_hash(told) if told else None for told in (system, tools)]
    anchor = Anchor(conversation, "m1", app, user_fingerprint(user), *told)
    return InputMessage("assistant", text, anchor)


def plan(*messages: InputMessage, **options: object) -> Request:
    return plan_request(messages, **{"apps": ["app"], "user": "ann", **options})  # type: ignore[arg-type]  # options of the test


ASK, AGAIN = InputMessage("user", "Hello"), InputMessage("user", "And then?")
BRIEF, KIND = InputMessage("system", "Be brief."), InputMessage("system", "Be kind.")


def test_a_lone_human_message_is_the_query_verbatim() -> None:
    assert plan(InputMessage("user", "  Hello\n")) == Request("  Hello\n", None, None, 0)


def test_only_what_follows_our_answer_is_sent() -> None:
    request = plan(BRIEF, ASK, answer(system="Be brief."), AGAIN)
    assert request == Request("And then?", "c1", None, 3, "m1")


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


# What a conversation was told ------------------------------------------------------------------


def next_anchor(request: Request) -> InputMessage:
    """The answer to a request, as it comes back with the next call."""
    kept = {"conversation_id": request.conversation_id or "c1", **request.marks}
    return InputMessage("assistant", "Hi", Anchor.read(kept, "m1"))


def test_system_text_goes_along_when_it_has_changed() -> None:
    first = plan(BRIEF, ASK)
    second = plan(BRIEF, ASK, next_anchor(first), AGAIN)
    assert second.query == "And then?"
    third = plan(KIND, ASK, next_anchor(second), AGAIN)
    assert third.query == "Be kind.\n\nAnd then?"
    fourth = plan(KIND, ASK, next_anchor(third), AGAIN)
    assert fourth.query == "And then?"
    back = plan(BRIEF, ASK, next_anchor(fourth), AGAIN)
    assert back.query == "Be brief.\n\nAnd then?"


def test_all_system_text_goes_along_wherever_it_stands() -> None:
    first = plan(BRIEF, ASK)
    second = plan(BRIEF, ASK, next_anchor(first), KIND, AGAIN)
    assert second.query == "Be brief.\n\nBe kind.\n\nAnd then?"
    third = plan(BRIEF, ASK, next_anchor(first), KIND, AGAIN, next_anchor(second), ASK)
    assert third.query == "Hello"


def test_a_call_without_system_text_forgets_nothing() -> None:
    second = plan(ASK, next_anchor(plan(BRIEF, ASK)), AGAIN)
    assert second.query == "And then?"
    assert plan(BRIEF, ASK, next_anchor(second), AGAIN).query == "And then?"


def test_anchors_of_older_versions_have_no_hash() -> None:
    assert plan(BRIEF, ASK, answer(), AGAIN).query == "Be brief.\n\nAnd then?"
    assert plan(BRIEF, ASK, conversation_id="mine").query == "Be brief.\n\nHello"


def test_system_text_of_an_input_is_not_told_in_the_query() -> None:
    first = plan(BRIEF, ASK, system_as_input=True)
    assert plan(BRIEF, ASK, next_anchor(first), AGAIN).query == "Be brief.\n\nAnd then?"


def test_tools_are_offered_once_and_demands_made_each_time() -> None:
    offer = Instructions("Tools: add.", "Call one.")
    first = plan(BRIEF, ASK, instructions=offer)
    assert first.query == "Tools: add.\n\nCall one.\n\nBe brief.\n\nHello"
    second = plan(BRIEF, ASK, next_anchor(first), AGAIN, instructions=offer)
    assert second.query == "Call one.\n\nAnd then?"
    changed = plan(BRIEF, ASK, next_anchor(second), AGAIN, instructions=Instructions("None."))
    assert changed.query == "None.\n\nAnd then?"
    assert plan(KIND, ASK, next_anchor(second), AGAIN, instructions=offer).query == (
        "Be kind.\n\nCall one.\n\nAnd then?"
    )


def test_tools_travel_with_the_system_text_on_every_turn() -> None:
    offer = Instructions("Tools: add.")
    first = plan(BRIEF, ASK, instructions=offer, system_as_input=True)
    second = plan(BRIEF, ASK, next_anchor(first), AGAIN, instructions=offer, system_as_input=True)
    assert [r.query for r in (first, second)] == ["Hello", "And then?"]
    assert [r.system for r in (first, second)] == ["Be brief.\n\nTools: add."] * 2


def test_instructions_alone_are_nothing_to_send() -> None:
    with pytest.raises(ValueError, match="nothing new to send"):
        plan(ASK, answer(), instructions=Instructions("Tools: add."))


# Names of an app --------------------------------------------------------------------------------


def test_what_was_stored_before_the_app_had_a_name_is_recognised() -> None:
    request = plan(ASK, answer(app="hash"), AGAIN, apps=["support-bot", "hash"])
    assert request.conversation_id == "c1"
    assert request.marks == marks("support-bot", "ann")
    assert plan(ASK, answer(app="hash"), AGAIN, apps=["support-bot"]).conversation_id is None


# Detached ---------------------------------------------------------------------------------------


def test_no_memory_reads_and_writes_no_anchor() -> None:
    request = plan(ASK, answer(), AGAIN, memory="none")
    assert (request.conversation_id, request.marks) == (None, {})
    assert request.query == "The conversation so far:\nUser: Hello\nAssistant: Hi\n\nAnd then?"
    assert plan(ASK, answer(), AGAIN, memory="none", conversation_id="c1").query == "And then?"


# Written out ------------------------------------------------------------------------------------


def test_a_transcript_of_ones_own() -> None:
    def german(messages: Sequence[InputMessage]) -> str:
        names = {"user": "Nutzer", "assistant": "Antwort", "tool": "Werkzeug"}
        return "\n".join(f"{names[m.role]}: {m.text}" for m in messages)

    stranger = InputMessage("assistant", "Hi")
    tool = InputMessage("tool", "42", name="sum")
    request = plan(BRIEF, ASK, tool, stranger, AGAIN, transcript=german)
    assert request.query == ("Be brief.\n\nNutzer: Hello\nWerkzeug: 42\nAntwort: Hi\n\nAnd then?")
    assert plan(ASK, transcript=german).query == "Hello"


TEXTS = st.text(st.sampled_from("ab \n:"), min_size=1).filter(str.strip)


@given(
    before=st.lists(st.builds(InputMessage, st.sampled_from(["user", "assistant", "tool"]), TEXTS)),
    new=TEXTS.map(str.strip),
)
def test_a_transcript_is_found_again(before: list[InputMessage], new: str) -> None:
    messages = [*before, InputMessage("assistant", "Hi"), InputMessage("user", new)]
    assert without_transcript(write_out(messages)) == new
    assert without_transcript(write_out(messages, system="Be brief.")) == f"Be brief.\n\n{new}"


@given(results=st.lists(TEXTS, min_size=1), new=TEXTS.map(str.strip))
def test_results_are_found_again(results: list[str], new: str) -> None:
    messages = [InputMessage("tool", text, name="add") for text in results]
    found, rest = read_results(write_out([*messages, InputMessage("user", new)]))
    assert ([name for name, _ in found], rest) == (["add"] * len(results), new)
    assert [text.split() for _, text in found] == [text.split() for text in results]


@pytest.mark.parametrize("messages", [(), (ASK, answer())])
def test_nothing_to_send_is_a_clear_error(messages: tuple[InputMessage, ...]) -> None:
    with pytest.raises(ValueError, match="human message"):
        plan(*messages)
