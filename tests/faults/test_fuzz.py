"""Whatever a server sends: an answer or a `DifyError`, and the same however the bytes are cut.

Whatever an app's form holds, and whatever is given to it: inputs that can be sent, or what is
wrong with them.
"""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import replace
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from dify_api import DifyError
from dify_api._calls.input_form import explain, form_model
from dify_api._replies import error_from_reply
from dify_api.answers._reader import AnswerReader
from dify_api.answers._tool_calls import ToolCallReader
from dify_api.endpoints.application import Parameters
from tests.faults.server import MESSAGE, PING, RUN

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["answer", "data", "metadata", "task_id", "message_id", "status", "code", "message", "id"]
EVENTS = [
    "message",
    "agent_message",
    "message_end",
    "message_replace",
    "error",
    "text_chunk",
    "workflow_started",
    "node_finished",
    "workflow_finished",
    "agent_thought",
    "news",
]
ODD = st.builds(
    lambda event, fields: b"data: " + json.dumps({**fields, "event": event}).encode() + b"\n\n",
    st.sampled_from(EVENTS),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
)
GOOD = st.sampled_from([*MESSAGE.tokens, MESSAGE.end, *RUN.tokens, RUN.begin, RUN.end, PING])
BODIES = st.lists(GOOD | ODD | st.binary(max_size=20), max_size=12).map(b"".join)


def read(body: bytes, cuts: list[int]) -> tuple[str, str]:
    """How a body ends, and its text."""
    reader = AnswerReader("POST /chat-messages", None)
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    try:
        for start, end in itertools.pairwise(places):
            if not reader.is_done:
                reader.feed(body[start:end])
        if not reader.is_done:
            reader.end()
        return "answer", reader.finish().text
    except DifyError as error:
        return type(error).__name__, error.answer.text if error.answer else ""


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_of_anything(body: bytes, cuts: list[int]) -> None:
    assert read(body, cuts) == read(body, [])


@given(st.integers(300, 599), st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()))
def test_the_body_of_an_error(status: int, body: bytes) -> None:
    for kind in ("application/json", "text/html", ""):
        error = error_from_reply(
            status, {"content-type": kind, "retry-after": "1"}, body, operation="GET /info"
        )
        assert isinstance(error, DifyError)
        assert error.status == status
        assert str(error)


CALL = '{"tool_calls": [{"name": "add", "arguments": {"a": 1}}]}'


@given(
    st.lists(st.sampled_from([CALL, CALL[:20], "```json\n", "\n```", "<think>", "</think>", "x "])
             | st.text(max_size=5), max_size=5).map("".join),
    st.lists(st.integers(0, 300), max_size=5),
)  # fmt: skip
def test_tool_calls_are_the_same_however_the_text_is_cut(text: str, cuts: list[int]) -> None:
    def shown(places: list[int]) -> tuple[str, list[str]]:
        reader = ToolCallReader(["add"])
        pieces = [text[a:b] for a, b in itertools.pairwise(places)]
        said = "".join(reader.feed(piece) for piece in pieces) + reader.end()
        return said, [repr(replace(call, id="")) for call in reader.calls]

    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    assert shown(places) == shown([0, len(text)])


KINDS = [
    "text-input",
    "paragraph",
    "select",
    "number",
    "checkbox",
    "json_object",
    "file",
    "file-list",
    "external_data_tool",
    "news",
]
CONTROLS = st.dictionaries(
    st.sampled_from([
        "variable", "label", "required", "default", "options", "max_length", "description", "hint",
        "hide", "json_schema", "allowed_file_types", "allowed_file_upload_methods",
    ]),
    JSON,
)  # fmt: skip
VARIABLES = (
    st.sampled_from(["city", "class", "model_fields", "2nd", "_", "größe", "a b"]) | st.text()
)
FITTING = st.fixed_dictionaries(
    {"variable": VARIABLES},
    optional={
        "label": st.text(),
        "required": st.booleans(),
        "default": JSON,
        "options": st.lists(st.text(max_size=5), max_size=4),
        "max_length": st.none() | st.integers(-2, 2**70),
        "json_schema": JSON | JSON.map(json.dumps),
        "allowed_file_types": st.lists(st.sampled_from(["image", "document", "custom"])),
    },
)
FORMS = st.lists(
    st.dictionaries(st.sampled_from(KINDS), CONTROLS | FITTING, min_size=1, max_size=1), max_size=4
)
VALUES = (
    JSON
    | st.floats()
    | st.binary(max_size=5)
    | st.sampled_from(
        ["", "1e999", "nan", "1_0", "https://x/a.png", "[1]", "{}", b"\xff", "\ud800"]
    )
    | st.sampled_from([str(uuid.uuid4()), Path("a.txt"), {"transfer_method": "remote_url"}])
)


@example([{"paragraph": {"variable": "city", "max_length": 2**70}}], [], {})
@given(FORMS, st.lists(VALUES, max_size=4), st.dictionaries(st.text(), VALUES, max_size=2))
def test_the_inputs_of_a_form(
    form: list[dict[str, object]], values: list[object], more: dict[str, object]
) -> None:
    items = Parameters.model_validate({"user_input_form": form}).user_input_form
    model = form_model("Inputs", items)
    json.dumps(model.model_json_schema())
    given_values = dict(zip([item.variable for item in items], values, strict=False)) | more
    try:
        taken = model.model_validate(given_values).values()
    except ValidationError as error:
        shown = explain(error)
    else:
        ready = {name: value for name, value in taken.items() if not holds_path(value)}
        shown = json.dumps(ready, allow_nan=False)
    assert shown.strip()


def holds_path(value: object) -> bool:
    """Whether a file is still to be uploaded."""
    return isinstance(value, Path) or (isinstance(value, list) and any(map(holds_path, value)))
