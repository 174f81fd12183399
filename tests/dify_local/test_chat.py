from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from dify_local import LocalDify
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import Caller, last, names, text

MODES = ["chat", "completion", "agent-chat", "agent", "advanced-chat"]
QUESTION = "Which planet has the most moons?"


def test_a_chat_streams_words_and_cites(caller: MakeCaller) -> None:
    events = caller("chat").stream(QUESTION)
    assert names(events) == ["message", "message_end"]
    assert text(events).endswith(
        "Saturn has the most moons of any planet: 274 moons are confirmed as of 2025."
    )
    assert len(events) > 10
    resource = events[-1]["metadata"]["retriever_resources"][0]
    assert resource["document_name"] == "saturn.md"
    assert "274 moons" in resource["content"]
    assert 0 < resource["score"] < 1
    ids = {(event["task_id"], event["message_id"], event["conversation_id"]) for event in events}
    assert len(ids) == 1


@pytest.mark.parametrize("mode", ["chat", "completion", "advanced-chat"])
def test_blocking_and_streaming_say_the_same(caller: MakeCaller, mode: str) -> None:
    mine = caller(mode)
    assert mine.ask(QUESTION)["answer"] == text(mine.stream(QUESTION))


def test_usage_counts_words_and_prices_add_up(caller: MakeCaller) -> None:
    usage = caller("chat").ask("/tokens 7")["metadata"]["usage"]
    assert usage["completion_tokens"] == 7
    assert usage["total_tokens"] == usage["prompt_tokens"] + 7
    total = Decimal(usage["prompt_price"]) + Decimal(usage["completion_price"])
    assert Decimal(usage["total_price"]) == total > 0


def test_a_conversation_is_kept_and_a_question_may_refer_back(caller: MakeCaller) -> None:
    mine = caller("chat")
    first = mine.ask("What moons does Jupiter have?")
    second = mine.ask(
        "and which of those is the largest?", conversation_id=first["conversation_id"]
    )
    assert second["conversation_id"] == first["conversation_id"]
    assert second["message_id"] != first["message_id"]
    assert "Ganymede is the largest moon" in second["answer"]
    page = mine.client.get(
        "/messages", params={"user": "ada", "conversation_id": first["conversation_id"]}
    ).json()
    assert [message["query"] for message in page["data"]] == [
        "What moons does Jupiter have?",
        "and which of those is the largest?",
    ]
    assert page["data"][0]["answer"] == first["answer"]


@pytest.mark.parametrize(
    ("question", "then", "fact"),
    [
        (QUESTION, "and which of those is the largest?", "Titan is the largest moon of Saturn"),
        ("Who discovered Pluto?", "and how many moons does it have?", "Pluto has five moons"),
    ],
)
def test_what_is_referred_to_may_be_in_the_answer(
    caller: MakeCaller, question: str, then: str, fact: str
) -> None:
    mine = caller("chat")
    conversation_id = mine.ask(question)["conversation_id"]
    assert fact in mine.ask(then, conversation_id=conversation_id)["answer"]


def test_a_conversation_belongs_to_its_user_and_app(caller: MakeCaller) -> None:
    mine = caller("chat")
    conversation_id = mine.ask("hello")["conversation_id"]
    for other in (caller("chat", "bob"), caller("planner")):
        body = other.body("hi", conversation_id=conversation_id)
        refused = other.client.post("/chat-messages", json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_pages_of_messages_go_back_in_time(caller: MakeCaller) -> None:
    mine = caller("chat")
    conversation_id = mine.ask("/echo 0")["conversation_id"]
    for number in range(1, 5):
        mine.ask(f"/echo {number}", conversation_id=conversation_id)
    params = {"user": "ada", "conversation_id": conversation_id, "limit": "2"}
    seen = []
    more = True
    while more:
        page = mine.client.get("/messages", params=params).json()
        seen = [message["answer"] for message in page["data"]] + seen
        params["first_id"] = page["data"][0]["id"]
        more = page["has_more"]
    assert seen == ["0", "1", "2", "3", "4"]


def test_conversations_are_listed_renamed_and_deleted(caller: MakeCaller) -> None:
    mine = caller("chat", "carol")
    ids = [mine.ask(f"question number {number}")["conversation_id"] for number in range(3)]
    listed = mine.client.get("/conversations", params={"user": "carol", "limit": 2}).json()
    assert [conversation["id"] for conversation in listed["data"]] == [ids[2], ids[1]]
    assert listed["has_more"] is True
    rest = mine.client.get("/conversations", params={"user": "carol", "last_id": ids[1]}).json()
    assert [conversation["id"] for conversation in rest["data"]] == [ids[0]]

    path = f"/conversations/{ids[0]}"
    renamed = mine.client.post(f"{path}/name", json={"name": "Été", "user": "carol"})
    assert renamed.json()["name"] == "Été"
    automatic = mine.client.post(f"{path}/name", json={"auto_generate": True, "user": "carol"})
    assert automatic.json()["name"] == "Title: question number 0"

    assert mine.client.request("DELETE", path, json={"user": "bob"}).status_code == 404
    assert mine.client.request("DELETE", path, json={"user": "carol"}).status_code == 204
    assert mine.client.request("DELETE", path, json={"user": "carol"}).status_code == 404
    gone = mine.client.post(mine.path, json=mine.body("again", conversation_id=ids[0]))
    assert gone.status_code == 404


def test_variables_of_a_chatflow_are_shown_as_text_and_can_be_set(caller: MakeCaller) -> None:
    mine = caller("advanced-chat")
    conversation_id = mine.ask(QUESTION)["conversation_id"]
    mine.ask("/echo two", conversation_id=conversation_id)
    path = f"/conversations/{conversation_id}/variables"
    listed = mine.client.get(path, params={"user": "ada"}).json()["data"]
    variables = {variable["name"]: variable for variable in listed}
    assert variables["turns"]["value"] == "2"
    assert variables["last_query"]["value"] == "/echo two"
    assert variables["topics"]["value"] == "[]"
    body = {"value": ["a", "b"], "user": "ada"}
    changed = mine.client.put(f"{path}/{variables['topics']['id']}", json=body)
    assert changed.json()["value"] == "['a', 'b']"
    wrong = mine.client.put(f"{path}/{variables['turns']['id']}", json=body)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")
    found = mine.client.get(path, params={"user": "ada", "variable_name": "TOP"}).json()["data"]
    assert [variable["name"] for variable in found] == ["topics"]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_echoes_fails_and_is_moderated(caller: MakeCaller, mode: str) -> None:
    mine = caller(mode)
    delta = "agent_message" if mode.startswith("agent") else "message"
    echoed = mine.stream("/echo Good  morning\n")
    assert text([e for e in echoed if e["event"] == delta], delta) == "Good  morning"
    failed = mine.stream("/fail mid")
    end = "workflow_finished" if mode == "advanced-chat" else "error"
    assert failed[-1]["event"] == end
    assert text(failed, delta) == "one two three "
    replaced = last(mine.stream("/replace Not here."), "message_replace")
    assert (replaced["answer"], replaced["reason"]) == ("Not here.", "output_moderation")


def test_failures_name_their_code(caller: MakeCaller) -> None:
    error = caller("chat").stream("/fail rate")[-1]
    assert (error["code"], error["status"]) == ("rate_limit_error", 429)
    assert "task_id" not in error
    mine = caller("chat")
    blocking = mine.client.post(mine.path, json=mine.body("/fail rate"))
    assert (blocking.status_code, blocking.json()["code"]) == (400, "completion_request_error")


def test_an_agent_uses_knowledge(caller: MakeCaller) -> None:
    events = caller("agent-chat").stream(QUESTION)
    thoughts = [event for event in events if event["event"] == "agent_thought"]
    assert [thought["position"] for thought in thoughts] == [1, 1, 1, 2, 2]
    assert len({thought["id"] for thought in thoughts}) == 2
    used = thoughts[2]
    assert used["tool"].startswith("dataset_")
    assert QUESTION in used["tool_input"]
    assert "274 moons" in used["observation"]
    assert "274 moons" in text(events, "agent_message")
    assert events[-1]["metadata"]["retriever_resources"]


def test_an_agent_calculates(caller: MakeCaller) -> None:
    events = caller("agent-chat").stream("What is 3 * (4 + 5)?")
    used = [event for event in events if event.get("tool")][-1]
    assert (used["tool"], used["observation"]) == ("calculator", '{"calculator":"27"}')
    assert text(events, "agent_message").endswith("3 * (4 + 5) = 27")


def test_a_new_agent_closes_with_the_whole_answer(caller: MakeCaller) -> None:
    events = caller("agent").stream(QUESTION)
    closing = last(events, "message")
    assert "274 moons" in closing["answer"]
    assert text(events, "agent_message") == f"Let me check. {closing['answer']}"
    assert [event["event"] for event in events[-2:]] == ["message", "message_end"]
    refused = caller("agent").client.post(
        "/chat-messages", json=caller("agent").body("x", response_mode="blocking")
    )
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")


def test_files_and_speech(caller: MakeCaller) -> None:
    events = caller("chat").stream("/files")
    made = last(events, "message_file")
    assert made["belongs_to"] == "assistant"
    assert caller("chat").client.get(made["url"]).text.startswith("A file made")
    assert events[-1]["files"][0]["filename"] == "answer.txt"
    spoken = caller("chat").stream("/tts Hello")
    assert names(spoken) == [
        "message", "tts_message", "message_end", "tts_message", "tts_message_end"
    ]  # fmt: skip
    assert spoken[-1]["audio"] == ""


def test_thinking_is_inline(caller: MakeCaller) -> None:
    answer = caller("chat").ask("/think It is round.")["answer"]
    assert answer == "<think>\nIt is round.\n</think>\n\nI have thought about it."


def test_json_is_given_back_and_nothing_after_it(caller: MakeCaller) -> None:
    answer = caller("chat").ask('/json {"a": [1, {"b": 2}]}\n\nAnswer as JSON only.')["answer"]
    assert answer == '{"a": [1, {"b": 2}]}'


def test_an_annotation_answers_instead(caller: MakeCaller) -> None:
    mine = caller("chat", "dora")
    made = mine.client.post("/apps/annotations", json={"question": "Why?", "answer": "So."})
    assert made.status_code == 201
    action = {
        "score_threshold": 0.9,
        "embedding_provider_name": "p",
        "embedding_model_name": "m",
    }
    job = mine.client.post("/apps/annotation-reply/enable", json=action).json()
    status = mine.client.get(f"/apps/annotation-reply/enable/status/{job['job_id']}").json()
    assert status["job_status"] == "completed"
    events = mine.stream("why?")
    assert [event["answer"] for event in events[:-1]] == ["S", "o", "."]
    assert events[-1]["metadata"]["annotation_reply"]["id"] == made.json()["id"]
    assert events[-1]["metadata"]["usage"]["total_tokens"] == 0
    mine.client.post("/apps/annotation-reply/disable", json=action)
    assert text(mine.stream("why?")) != "So."
    path = f"/apps/annotations/{made.json()['id']}"
    changed = mine.client.put(path, json={"question": "Why?", "answer": "Because."}).json()
    assert (changed["answer"], changed["hit_count"]) == ("Because.", 1)
    assert [mine.client.delete(path).status_code for _ in range(2)] == [204, 404]


def test_feedback_and_suggestions(caller: MakeCaller) -> None:
    mine = caller("chat")
    answer = mine.ask(QUESTION)
    path = f"/messages/{answer['message_id']}"
    like = {"rating": "like", "content": "good", "user": "ada"}
    assert mine.client.post(f"{path}/feedbacks", json=like).json() == {"result": "success"}
    params = {"user": "ada", "conversation_id": answer["conversation_id"]}
    message = mine.client.get("/messages", params=params).json()["data"][0]
    assert message["feedback"] == {"rating": "like"}
    all_feedbacks = mine.client.get("/app/feedbacks").json()["data"]
    assert all_feedbacks[0]["message_id"] == answer["message_id"]
    withdrawn = {"rating": None, "user": "ada"}
    statuses = [mine.client.post(f"{path}/feedbacks", json=withdrawn).status_code for _ in range(2)]
    assert statuses == [200, 400]
    suggested = mine.client.get(f"{path}/suggested", params={"user": "ada"}).json()
    assert suggested["data"][0] == "What is known about Saturn?"
    assert len(suggested["data"]) == 3


def test_uploads_travel_with_a_question(caller: MakeCaller) -> None:
    mine = caller("chat")
    uploaded = mine.client.post(
        "/files/upload", files={"file": ("é.png", b"\x89PNG", "image/png")}, data={"user": "ada"}
    )
    assert uploaded.status_code == 201
    file_id = uploaded.json()["id"]
    before = mine.client.get(f"/files/{file_id}/preview", params={"user": "ada"})
    assert (before.status_code, before.json()["code"]) == (404, "file_not_found")
    reference = {"type": "image", "transfer_method": "local_file", "upload_file_id": file_id}
    events = mine.stream("What is this?", files=[reference])
    assert names(events) == ["message", "message_end"]
    assert events[-1]["files"][0]["filename"] == "é.png"
    preview = mine.client.get(f"/files/{file_id}/preview", params={"user": "ada"})
    assert (preview.content, preview.headers["content-type"]) == (b"\x89PNG", "image/png")
    attachment = mine.client.get(f"/files/{file_id}/preview", params={"as_attachment": "true"})
    assert "attachment" in attachment.headers["content-disposition"]
    other = caller("advanced-chat").client.get(f"/files/{file_id}/preview")
    assert (other.status_code, other.json()["code"]) == (403, "file_access_denied")
    bob = caller("chat", "bob")
    refused = bob.client.post(bob.path, json=bob.body("x", files=[reference]))
    assert refused.json()["message"] == "Invalid upload file"


def test_upload_refusals(caller: MakeCaller) -> None:
    client = caller("chat").client
    nothing = client.post("/files/upload", data={"user": "ada"}, files={"other": b""})
    assert nothing.json()["code"] == "no_file_uploaded"
    two = client.post("/files/upload", files=[("file", b"1"), ("other", b"2")])
    assert two.json()["code"] == "too_many_files"
    # Of parts with the same name the first counts.
    again = client.post("/files/upload", files=[("file", b"1"), ("file", b"22")])
    assert again.json()["size"] == 1
    big = {"file": ("big.png", b"0" * (11 * 1024 * 1024), "image/png")}
    assert client.post("/files/upload", files=big).status_code == 413


def test_audio(caller: MakeCaller) -> None:
    mine = caller("chat")
    heard = mine.client.post("/audio-to-text", files={"file": ("a.mp3", b"abc", "audio/mp3")})
    assert heard.json() == {"text": "transcript of 3 bytes"}
    wrong = mine.client.post("/audio-to-text", files={"file": ("a.txt", b"abc", "text/plain")})
    assert (wrong.status_code, wrong.json()["code"]) == (415, "unsupported_audio_type")
    spoken = mine.client.post("/text-to-audio", json={"text": "Hi", "user": "ada"})
    assert spoken.headers["content-type"] == "audio/mpeg"
    assert spoken.content[:4] == b"RIFF"
    message_id = mine.ask("hello")["message_id"]
    by_message = mine.client.post("/text-to-audio", json={"message_id": message_id})
    assert by_message.content == spoken.content


def test_1_12_names_text_after_the_file_of_the_question() -> None:
    with LocalDify(version="1.12.1") as server, Caller(server, "chat") as mine:
        picture = {"type": "image", "transfer_method": "remote_url", "url": "http://x.test/a.png"}
        events = mine.stream("What is this?", files=[picture])
    assert names(events) == ["message_file", "message_end"]
    assert text(events, "message_file")
    assert events[-1]["files"] is None


def test_auto_tts_reads_every_answer() -> None:
    with LocalDify(auto_tts=True) as server, Caller(server, "advanced-chat") as mine:
        # Where a worker makes the run, the stream ends with it, and so does the speech.
        spoken = names(mine.stream("/echo hi"))
        assert spoken[-5:] == [
            "tts_message", "node_started", "node_finished", "message_end", "workflow_finished"
        ]  # fmt: skip
        parameters = mine.client.get("/parameters").json()
    assert parameters["text_to_speech"]["autoPlay"] == "enabled"


def test_a_database_file_outlives_the_server(tmp_path: Path) -> None:
    database = tmp_path / "dify.sqlite"
    with LocalDify(database=database) as server, Caller(server, "chat") as mine:
        first = mine.ask("What moons does Mars have?")
    with LocalDify(database=database) as server, Caller(server, "chat") as mine:
        second = mine.ask("which of those is larger?", conversation_id=first["conversation_id"])
    assert "Phobos is the larger" in second["answer"]


def test_keys_stay_out_of_texts(server: LocalDify, caller: MakeCaller) -> None:
    caller("chat").ask("hello")
    request = server.requests[-1]
    assert request.key == "app-chat"
    assert "app-chat" not in repr(request)
    assert "authorization" not in request.headers
    assert (request.method, request.path) == ("POST", "/v1/chat-messages")
    assert request.json is not None
    assert request.json["query"] == "hello"
    secret = LocalDify(upstream="http://127.0.0.1:1/v1", upstream_key="sk-secret")
    assert "sk-secret" not in repr(vars(secret))
