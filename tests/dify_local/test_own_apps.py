"""Apps of one's own: made in Python, and loaded from exports of real ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dify_local import App, Control, LocalDify, Node, load_app
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import cassette, events_of, last, names, text

EXPORTS = Path(__file__).parent / "exports"

APPS = [
    App(
        "support",
        "chat",
        title="Support desk",
        form=[Control("text-input", "name", required=True)],
        opening="How can I help?",
        answer="{{name}}, you asked: {{#sys.query#}}",
    ),
    App(
        "triage",
        "advanced-chat",
        nodes=[
            Node("classify", "question-classifier", "Topic", {"class_name": "moons"}),
            Node("draft", "llm", "Draft", {"text": "A draft about {{#classify.class_name#}}."}),
            Node("write", "llm", "Write"),
        ],
        answer="About {{#classify.class_name#}}: {{#write.text#}} (seen: {{#draft.text#}})",
    ),
    App(
        "report",
        "workflow",
        form=[Control("text-input", "topic", required=True), Control("file", "paper")],
        nodes=[
            Node("count", "code", outputs={"moons": 274}),
            Node("llm", "llm", outputs={"text": "{{topic}} has {{#count.moons#}} moons."}),
        ],
        outputs={"summary": "{{#llm.text#}}", "moons": "{{#count.moons#}}", "note": "fixed"},
    ),
    App(
        "approval",
        "advanced-chat",
        nodes=[
            Node("draft", "llm", "Draft", {"text": "Dear Ada."}),
            Node(
                "review",
                "human-input",
                "Review",
                form={
                    "form_content": "Send {{#draft.text#}}? {{#$output.tone#}}",
                    "inputs": [{"output_variable_name": "tone", "type": "paragraph"}],
                    "user_actions": [{"id": "send", "title": "Send"}],
                },
            ),
            Node("final", "llm", "Final", {"text": "Sent in a {{#review.tone#}} tone."}),
        ],
        answer="{{#draft.text#}} {{#final.text#}}",
    ),
    load_app(EXPORTS / "refunds.yml"),
]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LocalDify]:
    with LocalDify(apps=APPS) as server:
        yield server


def run(caller: Any, inputs: dict[str, Any], mode: str = "streaming") -> Any:
    body = {"inputs": inputs, "user": "ada", "response_mode": mode}
    response = caller.client.post("/workflows/run", json=body)
    assert response.status_code == 200, response.text
    return events_of(response.content) if mode == "streaming" else response.json()


def nodes_of(events: list[dict[str, Any]]) -> list[str]:
    return [e["data"]["node_id"] for e in events if e["event"] == "node_finished"]


def test_a_chat_app_answers_what_it_is_made_to(server: LocalDify, caller: MakeCaller) -> None:
    support = caller("support")
    assert server.keys["support"] == "app-support"
    events = support.stream("Where is it?", inputs={"name": "Ada"})
    assert text(events) == "Ada, you asked: Where is it?"
    refused = support.client.post("/chat-messages", json=support.body("Where?"))
    assert refused.json()["message"] == "name is required in input form"
    parameters = support.client.get("/parameters").json()
    assert parameters["opening_statement"] == "How can I help?"
    assert parameters["user_input_form"][0]["text-input"]["label"] == "name"
    info = support.client.get("/info").json()
    assert (info["name"], info["tags"]) == ("Support desk", [])
    assert caller("chat").ask("/echo the ready-made apps stay")["answer"]


def test_a_chatflow_shows_what_its_answer_refers_to(caller: MakeCaller) -> None:
    events = caller("triage").stream("/echo Two moons.")
    assert nodes_of(events) == ["start", "classify", "draft", "write", "answer"]
    said = "About moons: Two moons. (seen: A draft about moons.)"
    assert text(events) == said
    assert last(events, "workflow_finished")["data"]["outputs"]["answer"] == said
    selectors = [e["from_variable_selector"] for e in events if e["event"] == "message"]
    assert selectors[0] == selectors[-1] == ["answer", "answer"]
    assert ["write", "text"] in selectors
    assert ["draft", "text"] not in selectors
    assert caller("triage").ask("/echo Two moons.")["answer"] == said


def test_a_chatflow_that_fails_and_one_that_is_moderated(caller: MakeCaller) -> None:
    failed = caller("triage").stream("/fail mid")
    assert names(failed)[-1] == "workflow_finished"
    assert last(failed, "node_finished")["data"]["node_id"] == "write"
    assert last(failed, "workflow_finished")["data"]["status"] == "failed"


def test_a_workflow_gives_its_outputs(caller: MakeCaller) -> None:
    events = run(caller("report"), {"topic": "Saturn"})
    assert nodes_of(events) == ["start", "count", "llm", "end"]
    assert text(events, "text_chunk") == "Saturn has 274 moons."
    outputs = {"summary": "Saturn has 274 moons.", "moons": 274, "note": "fixed"}
    assert last(events, "workflow_finished")["data"]["outputs"] == outputs
    blocking = run(caller("report"), {"topic": "Saturn"}, "blocking")
    assert blocking["data"]["outputs"] == outputs


def test_a_form_of_ones_own(caller: MakeCaller) -> None:
    approval = caller("approval")
    events = approval.stream("Write to Ada.")
    form = last(events, "human_input_required")["data"]
    assert form["form_content"] == "Send Dear Ada.? {{#$output.tone#}}"
    assert names(events)[-1] == "workflow_paused"
    run_id = last(events, "workflow_paused")["workflow_run_id"]
    path = f"/form/human_input/{form['form_token']}"
    assert approval.client.get(path).json()["user_actions"] == [{"id": "send", "title": "Send"}]
    wrong = {"inputs": {}, "action": "send", "user": "ada"}
    assert approval.client.post(path, json=wrong).json()["code"] == "invalid_form_data"
    right = {"inputs": {"tone": "warm"}, "action": "send", "user": "ada"}
    assert approval.client.post(path, json=right).status_code == 200
    rest = events_of(approval.client.get(f"/workflow/{run_id}/events?user=ada").content)
    assert nodes_of(rest) == ["review", "final", "answer"]
    review = next(e["data"] for e in rest if e["event"] == "node_finished")
    assert review["outputs"]["__rendered_content"] == "Send Dear Ada.? warm"
    answer = last(rest, "workflow_finished")["data"]["outputs"]["answer"]
    assert answer == "Dear Ada. Sent in a warm tone."


def test_an_app_in_difys_dsl(caller: MakeCaller) -> None:
    refunds = caller("refunds")
    assert refunds.client.get("/info").json()["name"] == "Refund desk"
    form = refunds.client.get("/parameters").json()["user_input_form"]
    assert [next(iter(entry)) for entry in form] == ["text-input", "paragraph", "select"]
    refunds.server.answer(app="refunds", text="Dear Ada, here is your money.")
    events = run(refunds, {"customer": "Ada", "complaint": "Broken.", "priority": "low"})
    assert nodes_of(events) == ["1700000000001", "classify", "price", "draft"]
    form = last(events, "human_input_required")["data"]
    assert form["form_content"].startswith("Check this: Dear Ada, here is your money.")
    path = f"/form/human_input/{form['form_token']}"
    bad = {"inputs": {"risk": "none"}, "action": "approve", "user": "ada"}
    assert refunds.client.post(path, json=bad).json()["code"] == "invalid_form_data"
    good = {"inputs": {"risk": "low"}, "action": "approve", "user": "ada"}
    assert refunds.client.post(path, json=good).status_code == 200
    run_id = last(events, "workflow_paused")["workflow_run_id"]
    rest = events_of(refunds.client.get(f"/workflow/{run_id}/events?user=ada").content)
    assert last(rest, "workflow_finished")["data"]["outputs"] == {
        "letter": "Dear Ada, here is your money.",
        "amount": 0,
        "customer": "Ada",
        "risk": "low",
    }


def test_a_chat_app_in_difys_dsl(tmp_path: Path) -> None:
    file = tmp_path / "My app.yaml"
    file.write_text(
        "kind: app\nversion: 0.3.1\napp: {mode: chat, name: Hello}\n"
        "model_config:\n"
        "  opening_statement: Hi!\n"
        "  retriever_resource: {enabled: true}\n"
        "  user_input_form:\n"
        "  - select: {label: Lang, variable: lang, options: [en, fr], default: ''}\n"
        "  - external_data_tool: {label: Who, variable: who}\n"
    )
    app = load_app(file)
    assert (app.name, app.mode, app.title, app.opening) == ("My-app", "chat", "Hello", "Hi!")
    assert [(c.type, c.variable) for c in app.form] == [("select", "lang"), ("text-input", "who")]
    assert app.features == {"citations"}


@pytest.mark.parametrize("folder", [False, True])
def test_the_replies_of_a_real_app(tmp_path: Path, folder: bool) -> None:
    replies = {
        part: json.loads(cassette(f"dify-1.16.0/{name}")[1])
        for part, name in {
            "info": "info_chat_inputs",
            "parameters": "newagent_parameters_new_agent_full",
        }.items()
    }
    path = tmp_path / ("real" if folder else "real.json")
    if folder:
        path.mkdir()
        for part, reply in replies.items():
            (path / f"{part}.json").write_text(json.dumps(reply))
    else:
        path.write_text(json.dumps(replies))
    with LocalDify(apps=[replace(load_app(path), answer="Yes, {{name}}.")]) as server:
        with httpx.Client(
            base_url=server.base_url, headers={"Authorization": f"Bearer {server.keys['real']}"}
        ) as client:
            assert client.get("/info").json() == replies["info"]
            assert client.get("/parameters").json() == replies["parameters"]
            body = {"inputs": {"name": "Ada"}, "query": "Hm?", "user": "ada"}
            assert client.post("/chat-messages", json=body).json()["answer"] == "Yes, Ada."


def test_yaml_without_pyyaml_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ImportError, match=r"pip install .dify-adapters\[local\]"):
        load_app(EXPORTS / "refunds.yml")


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("a.yml", "just a text", "it holds no object"),
        ("a.yml", "a: [1", "while parsing"),
        ("a.yml", "kind: rag_pipeline\napp: {}", "its kind is 'rag_pipeline'"),
        ("a.yml", "app: {mode: workflow}\nworkflow: {graph: {}}", "no start node"),
        ("a.yml", "app: {mode: rocket}\nmodel_config: {}", "no mode 'rocket'"),
        ("a.json", "{}", "needs the replies"),
        ("a.json", '{"info": {}, "parameters": {}}', "has no `mode`"),
        ("a.json", "[", "Expecting value"),
    ],
)
def test_what_is_no_export(tmp_path: Path, name: str, content: str, wrong: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=wrong) as raised:
        load_app(tmp_path / name)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_apps_of_one_name() -> None:
    with pytest.raises(ValueError, match="Two apps are called 'support'"):
        LocalDify(apps=[APPS[0], APPS[0]])


def test_one_in_the_place_of_a_ready_made_app() -> None:
    with LocalDify(apps=[App("chat", "chat", answer="Mine.")]) as server:
        with httpx.Client(headers={"Authorization": "Bearer app-chat"}) as client:
            body = {"inputs": {}, "query": "Hm?", "user": "ada"}
            reply = client.post(f"{server.base_url}/chat-messages", json=body).json()
    assert reply["answer"] == "Mine."


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: App("a b", "chat"), "letters, digits"),
        (lambda: App("a", "rocket"), "no mode 'rocket'"),
        (lambda: App("a", "chat", features=frozenset({"magic"})), "no feature magic"),
        (lambda: App("a", "chat", nodes=[Node("x", "llm")]), "only workflow and advanced-chat"),
        (lambda: App("a", "advanced-chat", outputs={}), "only workflow apps have outputs"),
        (lambda: Node("a", "llm", form={}), "only human-input nodes"),
        (lambda: Control("txt", "a"), "no type 'txt'"),
        (lambda: Control("select", "a"), "a select needs options"),
    ],
)
def test_what_no_app_can_be(make: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        make()
