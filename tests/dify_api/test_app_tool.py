from __future__ import annotations

import json
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from dify_api import Answer, AsyncDifyClient, DifyClient
from dify_api._calls.app_tool import AppTool, describe_app, result_text, tool_name
from dify_api._calls.attachments import Attachment
from dify_api._calls.input_form import explain, form_model, upload_files
from dify_api._runs.flows import Flow, arun, run
from dify_api.endpoints.application import Info, Parameters, UserInputFormItem
from dify_api.endpoints.files import UploadedFile
from dify_api.errors import NotFoundError, NotWorkflowAppError, UnauthorizedError
from dify_api.models import AnswerFile, decode
from dify_api.operation import Operation
from tests.support.cassettes import Exchange, exchange
from tests.support.recorded_app import (
    PARAMETERS,
    form_of,
    mode_of,
    recorded_app,
    sample_values,
)
from tests.support.replay import Received, ReplayServer, Reply

FILE_ID = "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10"


def answered(flow: Flow[Any], *replies: object) -> tuple[Any, list[Operation[Any]]]:
    """What `flow` returns when its operations are answered by `replies`, and the operations."""
    asked: list[Operation[Any]] = []
    remaining = list(replies)
    reply: object = None
    try:
        while True:
            if isinstance(reply, Exception):
                asked.append(flow.throw(reply))
            else:
                asked.append(flow.send(reply))
            reply = remaining.pop(0)
    except StopIteration as end:
        assert not remaining
        return end.value, asked


def item(kind: str, variable: str = "it", **facts: Any) -> UserInputFormItem:
    return UserInputFormItem(type=kind, variable=variable, label="It", **facts)


def accepts(one: UserInputFormItem, value: object, **options: Any) -> Any:
    return form_model("inputs", [one], **options)(**{one.variable: value}).values()[one.variable]


def refuses(one: UserInputFormItem, value: object, **options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        form_model("inputs", [one], **options)(**{one.variable: value})
    return explain(caught.value)


@pytest.mark.parametrize("recorded", PARAMETERS, ids=lambda e: e.name)
async def test_recorded_app_becomes_a_tool_and_answers(recorded: Exchange) -> None:
    with recorded_app(recorded) as server:
        client = DifyClient("app-test", base_url=server.base_url)
        tool = run(client, describe_app(user="ann"))
        assert tool.mode == mode_of(recorded)
        schema = tool.args_schema.model_json_schema()
        values = sample_values(recorded)
        if tool.query_argument:
            values[tool.query_argument] = "Hello"
        assert set(schema["properties"]) == set(values)
        for kind, control in form_of(recorded):
            described = schema["properties"][control["variable"]]
            choices = [described, *described.get("anyOf", [])]
            needed = control["required"] and control.get("default") in (None, "")
            assert (control["variable"] in schema.get("required", [])) == needed
            if kind == "select":
                assert control["options"] in [choice.get("enum") for choice in choices]
            if kind in ("text-input", "paragraph") and control.get("max_length"):
                assert control["max_length"] in [choice.get("maxLength") for choice in choices]
            if control.get("default") not in (None, ""):
                assert described["default"] == control["default"]

        answer = client.send(run(client, tool.prepare(values, user="ann")))
        assert result_text(answer)
        async_client = AsyncDifyClient("app-test", base_url=server.base_url)
        operation = await arun(async_client, tool.prepare(values, user="ann"))
        assert (await async_client.send(operation)).text == answer.text
        sent = server.requests[-1].json
        assert sent["user"] == "ann"
        for kind, control in form_of(recorded):
            if kind not in ("file", "file-list"):
                assert sent["inputs"][control["variable"]] == values[control["variable"]]


def replies_by_path(**exchanges: str) -> ReplayServer:
    """A server of an app of before 1.4.0, which does not tell its mode."""
    paths = {"info": "info", "parameters": "parameters", "conversations": "conversations"}

    def reply(request: Received) -> Reply:
        first = request.path.removeprefix("/v1/").split("?")[0].split("/")[0]
        return exchange(exchanges[paths.get(first, "run")]).reply()

    return ReplayServer(reply)


@pytest.mark.parametrize(
    ("mode", "exchanges"),
    [
        (
            "chat",
            {
                "info": "dify-0.15.3/info_chat",
                "parameters": "dify-0.15.3/parameters_with_user",
                "conversations": "dify-0.15.3/conversations_list",
            },
        ),
        (
            "completion",
            {
                "info": "dify-0.15.3/info_completion",
                "parameters": "dify-0.15.3/parameters_with_user",
                "conversations": "dify-1.12.1/conversations_list_completion",
                "run": "dify-1.12.1/workflow_run_detail_chat",
            },
        ),
        (
            "workflow",
            {
                "info": "dify-0.15.3/info_completion",
                "parameters": "dify-0.15.3/parameters_workflow",
                "conversations": "dify-0.15.3/wrongapp_conversations_on_workflow",
                "run": "dify-0.15.3/workflow_run_detail_unknown",
            },
        ),
        (
            "workflow",
            {
                "info": "dify-0.15.3/info_completion",
                "parameters": "dify-0.15.3/parameters_workflow",
                "conversations": "dify-0.15.3/wrongapp_conversations_on_workflow",
                "run": "dify-1.16.0/workflow_run_detail_unknown",
            },
        ),
    ],
)
def test_mode_of_older_servers_is_found_out(mode: str, exchanges: dict[str, str]) -> None:
    with replies_by_path(**exchanges) as server:
        client = DifyClient("app-test", base_url=server.base_url, max_retries=0)
        assert run(client, describe_app(user="ann")).mode == mode
        assert all(request.method == "GET" for request in server.requests)
        asked = len(server.requests)
        assert run(client, describe_app(user="ann", mode="agent-chat")).mode == "agent-chat"
        assert len(server.requests) == asked + 2


def test_description_is_the_developers_where_given() -> None:
    info = Info(name="An app", description="x" * 2000, mode="chat")
    tool, asked = answered(describe_app(user="ann"), info, Parameters())
    assert (tool.name, len(tool.description)) == ("An_app", 1024)
    assert [operation.path for operation in asked] == ["/info", "/parameters"]

    flow = describe_app(user="ann", mode="chat", name="moons", description="Moons.")
    tool, asked = answered(flow, Parameters())
    assert (tool.name, tool.description) == ("moons", "Moons.")
    assert [operation.path for operation in asked] == ["/parameters"]


def test_app_without_description_and_server_without_info() -> None:
    tool, _ = answered(describe_app(user="ann"), Info(name="Moons", mode="chat"), Parameters())
    assert tool.description == 'Ask the Dify app "Moons".'
    missing = NotFoundError("no", status=404)
    tool, _ = answered(describe_app(user="ann", mode="completion"), missing, Parameters())
    assert (tool.name, tool.mode) == ("completion_app", "completion")
    with pytest.raises(UnauthorizedError):
        answered(describe_app(user="ann"), UnauthorizedError("no", status=401))


def test_unfit_name_is_refused() -> None:
    with pytest.raises(ValueError, match="64 letters"):
        answered(describe_app(user="ann", name="no spaces"))


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Solar System Chat", "Solar_System_Chat"),
        ("  a/b: c!  ", "a_b_c"),
        ("015-chat", "015-chat"),
        ("x" * 80, "x" * 64),
    ],
)
def test_tool_name(title: str, name: str) -> None:
    assert tool_name(title) == name


def test_names_without_latin_letters_stay_different() -> None:
    assert tool_name("太阳系") != tool_name("月球")
    assert tool_name("太阳系") == tool_name("太阳系")
    assert tool_name("太阳系").startswith("dify_")


FORM = (
    item("text-input", "name", required=True, max_length=5),
    item("select", "tone", options=["warm", "cold"], required=True),
    item("text-input", "secret", required=False, hide=True),
)


def chat_tool(**facts: Any) -> AppTool:
    return AppTool("chat", "greeter", "Greets.", FORM, **facts)


def test_hidden_variable_is_no_argument_but_can_be_fixed() -> None:
    assert list(chat_tool().args_schema.model_fields) == ["query", "name", "tone"]
    tool = chat_tool(inputs={"secret": "s", "tone": "cold"})
    assert list(tool.args_schema.model_fields) == ["query", "name"]
    operation, _ = answered(tool.prepare({"query": "Hi", "name": "Ann"}, user="ann"))
    assert operation.path == "/chat-messages"
    assert operation.json["query"] == "Hi"
    assert operation.json["inputs"] == {"name": "Ann", "tone": "cold", "secret": "s"}
    assert operation.conversation_id is None
    assert operation.json["auto_generate_name"] is False


def test_hidden_variable_that_is_needed_is_an_argument() -> None:
    form = (item("text-input", "name", required=True, hide=True),)
    assert "name" in AppTool("workflow", "w", "", form).args_schema.model_fields


def test_fixing_what_the_app_lacks_is_refused() -> None:
    parameters = decode(Parameters, {"user_input_form": [{"select": {"variable": "tone"}}]})
    with pytest.raises(ValueError, match=r"no input tome; its inputs: tone"):
        answered(describe_app(user="a", mode="chat", inputs={"tome": "x"}), Info(), parameters)


def test_fixed_value_is_checked_too() -> None:
    tool = chat_tool(inputs={"tone": "loud"})
    with pytest.raises(ValidationError) as caught:
        answered(tool.prepare({"query": "Hi", "name": "Ann"}, user="ann"))
    assert explain(caught.value) == "tone: Input should be 'warm' or 'cold' (given: 'loud')"


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        answered(chat_tool().prepare({"query": " ", "name": "Annabel", "extra": 1}, user="ann"))
    assert explain(caught.value) == (
        "query: must not be blank (given: ' '); "
        "name: String should have at most 5 characters (given: 'Annabel'); "
        "tone: Field required; extra: Extra inputs are not permitted (given: 1)"
    )


def test_message_argument_gives_way_to_a_variable_called_query() -> None:
    tool = AppTool("advanced-chat", "flow", "", (item("paragraph", "query", required=True),))
    operation, _ = answered(tool.prepare({"message": "Hi", "query": "topic"}, user="ann"))
    assert operation.json["query"] == "Hi"
    assert operation.json["inputs"] == {"query": "topic"}


def test_completion_app() -> None:
    tool = AppTool("completion", "c", "", (item("paragraph", "text", required=True),))
    operation, _ = answered(tool.prepare({"text": "Hi"}, user="ann"))
    assert (operation.path, operation.json["inputs"]) == ("/completion-messages", {"text": "Hi"})
    bare = AppTool("completion", "c", "")
    operation, _ = answered(bare.prepare({"query": "Hi"}, user="ann"))
    assert (operation.json["inputs"], operation.json["query"]) == ({"query": "Hi"}, "Hi")


def test_workflow_app() -> None:
    tool = AppTool("workflow", "w", "", (item("number", "n"),))
    operation, _ = answered(tool.prepare({}, user="ann"))
    assert (operation.path, operation.json["inputs"]) == ("/workflows/run", {})


# Controls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text-input", "paragraph", "of-tomorrow"])
def test_text(kind: str) -> None:
    assert accepts(item(kind, max_length=3), "abc") == "abc"
    assert accepts(item(kind), 5) == "5"
    assert "Input should be a valid string" in refuses(item(kind), ["a"])
    assert form_model("i", [item(kind)])().values() == {}
    assert "at most 3 characters" in refuses(item(kind, max_length=3), "abcd")


def test_select() -> None:
    select = item("select", options=["a", "b"], default="b")
    assert form_model("i", [select])().values() == {"it": "b"}
    assert form_model("i", [item("select", options=["a"], default="gone")])().values() == {}
    assert refuses(select, "c") == "it: Input should be 'a' or 'b' (given: 'c')"
    assert accepts(item("select"), "anything") == "anything"


@pytest.mark.parametrize(("given", "sent"), [(1, 1), (1.5, 1.5), ("2", 2), (" -2.5", -2.5), (0, 0)])
def test_number(given: object, sent: object) -> None:
    value = accepts(item("number"), given)
    assert value == sent
    assert type(value) is type(sent)


@pytest.mark.parametrize("given", ["many", True, [1], {"a": 1}, "nan", float("inf")])
def test_number_refused(given: object) -> None:
    assert refuses(item("number"), given).startswith("it: Input should be a")


def test_number_default_and_absence() -> None:
    assert form_model("i", [item("number", default="5")])().values() == {"it": 5}
    assert form_model("i", [item("number", default="")])().values() == {}
    assert form_model("i", [item("number")])(it="").values() == {}
    schema = form_model("i", [item("number", required=True)]).model_json_schema()
    assert schema["properties"]["it"]["type"] == "number"


def test_checkbox() -> None:
    assert accepts(item("checkbox"), "yes") is True
    assert accepts(item("checkbox", required=True), 0) is False
    assert form_model("i", [item("checkbox", default=False)])().values() == {"it": False}
    assert "valid boolean" in refuses(item("checkbox"), "perhaps")


def test_json_object() -> None:
    schema = {"type": "object", "properties": {"planet": {"type": "string"}}}
    for given in (schema, json.dumps(schema)):
        control = item("json_object", json_schema=given, required=True)
        assert accepts(control, {"planet": "Mars"}) == {"planet": "Mars"}
        described = form_model("i", [control]).model_json_schema()["properties"]["it"]
        assert described["properties"] == schema["properties"]
    assert accepts(item("json_object"), '{"a": 1}') == {"a": 1}
    assert "valid dictionary" in refuses(item("json_object"), "[1]")


def test_external_data_tool_is_no_field() -> None:
    assert form_model("i", [item("external_data_tool")]).model_fields == {}


def test_form_of_2023() -> None:
    parameters = decode(
        Parameters,
        {
            "introduction": "Hello",
            "variables": [
                {"key": "name", "name": "Your name", "type": "string", "default": "Ann"},
                {"key": "tone", "name": "Tone", "type": "select", "options": ["warm"]},
            ],
        },
    )
    schema = form_model("i", parameters.user_input_form).model_json_schema()["properties"]
    assert schema["name"]["default"] == "Ann"
    assert schema["name"]["description"] == "Your name."
    assert schema["tone"]["anyOf"][0]["const"] == "warm"


@pytest.mark.parametrize("variable", ["json", "model_dump", "_hidden", "class", "values", "1st"])
def test_variables_that_pydantic_would_not_take(
    variable: str, recwarn: pytest.WarningsRecorder
) -> None:
    model = form_model("i", [item("text-input", variable, required=True), item("number", "n")])
    assert model(**{variable: "a", "n": 1}).values() == {variable: "a", "n": 1}
    assert variable in model.model_json_schema()["properties"]
    assert issubclass(model, BaseModel)
    assert not recwarn.list


# Files -----------------------------------------------------------------------------------------

FILE = item("file", "doc", allowed_file_types=["image", "document"])


def inputs_of(one: UserInputFormItem, value: object, *replies: object, **options: Any) -> Any:
    checked = form_model("inputs", [one], **options)(**{one.variable: value}).values()
    return answered(upload_files([one], checked, "ann"), *replies)


def test_file_by_url_and_by_id() -> None:
    inputs, asked = inputs_of(FILE, "https://example.com/a.png?x=1")
    assert inputs["doc"] == {
        "type": "image",
        "transfer_method": "remote_url",
        "url": "https://example.com/a.png?x=1",
    }
    assert asked == []
    inputs, _ = inputs_of(FILE, FILE_ID)
    assert inputs["doc"] == {
        "type": "document",
        "transfer_method": "local_file",
        "upload_file_id": FILE_ID,
    }
    inputs, _ = inputs_of(item("file", "doc", allowed_file_types=["audio"]), FILE_ID)
    assert inputs["doc"]["type"] == "audio"


def test_url_without_a_telling_name_has_a_type_that_is_allowed() -> None:
    inputs, _ = inputs_of(FILE, "https://example.com/download")
    assert inputs["doc"]["type"] == "image"


def test_files_that_are_uploaded(tmp_path: Path) -> None:
    picture = tmp_path / "saturn.png"
    picture.write_bytes(b"png")
    uploaded = UploadedFile(id=FILE_ID, name="saturn.png", extension="png", mime_type="image/png")
    wanted = {"type": "image", "transfer_method": "local_file", "upload_file_id": FILE_ID}

    inputs, [upload] = inputs_of(FILE, picture, uploaded)
    assert (upload.path, upload.user, upload.file.name) == ("/files/upload", "ann", "saturn.png")
    assert inputs["doc"] == wanted
    attachment = Attachment("image", content=b"png", mime_type="image/png")
    assert inputs_of(FILE, attachment, uploaded)[0]["doc"] == wanted
    assert inputs_of(FILE, uploaded)[0]["doc"] == wanted
    assert inputs_of(FILE, wanted)[0]["doc"] == wanted


def test_a_text_opens_no_file_unless_it_is_below_root_dir(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.txt").write_text("a")
    (tmp_path / "secret.txt").write_text("s")
    told = "public URL of a file, or the id of an uploaded file"
    assert told in refuses(FILE, str(tmp_path / "secret.txt"))
    assert told in refuses(FILE, "a.txt")
    root = tmp_path / "open"
    assert accepts(FILE, "a.txt", root_dir=root) == root / "a.txt"
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    for outside in (
        "../secret.txt",
        str(tmp_path / "secret.txt"),
        "link.txt",
        "b.txt",
        "/etc/passwd",
    ):
        assert "no such file" in refuses(FILE, outside, root_dir=root)


def test_file_list() -> None:
    files = item("file-list", "docs", max_length=2, required=True)
    inputs, _ = inputs_of(files, ["https://example.com/a.pdf", FILE_ID])
    assert [f["transfer_method"] for f in inputs["docs"]] == ["remote_url", "local_file"]
    assert "at most 2 items" in refuses(files, [FILE_ID] * 3)
    assert "at least 1 item" in refuses(files, [])
    assert refuses(files, ["nope"]).startswith("docs.0: give the public URL")


def test_wrong_file_values() -> None:
    assert "needs type, transfer_method" in refuses(FILE, {"url": "https://example.com/a.png"})
    assert "give the public URL" in refuses(FILE, 5)


# Results ---------------------------------------------------------------------------------------


def test_result_text() -> None:
    assert (
        result_text(Answer(text="Hi", conversation_id="c", outputs={"answer": "Hi", "n": 1}))
        == "Hi"
    )
    assert result_text(Answer(text="Hi", outputs={"text": "Hi"})) == "Hi"
    several = Answer(text="Hi", outputs={"text": "Hi", "planet": "Mälar"})
    assert result_text(several) == '{"text": "Hi", "planet": "Mälar"}'
    assert result_text(Answer(outputs={"n": 5})) == '{"n": 5}'
    files = [AnswerFile(url="https://x/a.png"), AnswerFile(remote_url="https://x/b.png")]
    assert result_text(Answer(files=files)) == "https://x/a.png\nhttps://x/b.png"
    assert result_text(Answer()) == ""


def test_tool_is_a_value_that_pickles() -> None:
    tool = chat_tool(inputs={"tone": "warm"})
    assert tool.args_schema is tool.args_schema
    again = pickle.loads(pickle.dumps(tool))
    assert again == tool
    assert again.args_schema.model_json_schema() == tool.args_schema.model_json_schema()


def test_errors_of_the_server_pass_through() -> None:
    error = NotWorkflowAppError("no", status=400)
    with pytest.raises(NotWorkflowAppError):
        answered(describe_app(user="ann", mode="chat"), Info(name=str(uuid.uuid4())), error)
