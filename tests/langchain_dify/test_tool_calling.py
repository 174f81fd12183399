from __future__ import annotations

import pickle
import random
from collections.abc import AsyncIterator, Callable
from functools import reduce
from operator import add
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel
from typing_extensions import TypedDict

from dify_api.answers._tool_calls import ToolCallReader
from dify_local import LocalDify
from langchain_dify import ChatDify
from langchain_dify._answers.tool_calls import invalid_calls, valid_calls
from langchain_dify._calls.structured_output import output_parser
from tests.langchain_dify.support import HAS_TYPED_EVENTS, reloaded
from tests.langchain_dify.test_chat_models import ways

Models = Callable[..., ChatDify]


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


class Planet(BaseModel):
    """A planet."""

    name: str
    moons: int


class PlanetDict(TypedDict):
    """A planet."""

    name: Annotated[str, ..., "its name"]
    moons: Annotated[int, ..., "how many moons it has"]


CALL = '{"tool_calls": [{"name": "multiply", "arguments": {"a": 6, "b": 7}}]}'


def read(text: str, seed: int) -> tuple[str, str, list[tuple[str, Any]]]:
    """Feed a text in random pieces: what was shown before its end, then, and the calls."""
    reader, chance, shown = ToolCallReader(["multiply", "weather"]), random.Random(seed), ""
    while text:
        size = chance.randint(1, 7)
        shown += reader.feed(text[:size])
        text = text[size:]
    rest = reader.end()
    return shown, rest, [(call["name"], call["args"]) for call in valid_calls(reader.calls)]


def read_invalid(text: str, seed: int = 1) -> tuple[str, list[str | None], list[str | None]]:
    """What is shown of a text, the tools of its valid calls and those of its invalid ones."""
    reader, chance, shown = ToolCallReader(["multiply", "weather"]), random.Random(seed), ""
    while text:
        size = chance.randint(1, 7)
        shown += reader.feed(text[:size])
        text = text[size:]
    shown += reader.end()
    assert all(call["args"] for call in invalid_calls(reader.calls))
    return (
        shown,
        [call["name"] for call in valid_calls(reader.calls)],
        [call["name"] for call in invalid_calls(reader.calls)],
    )


# Reading calls --------------------------------------------------------------------------------

QUOTED = [
    f"The document says:\n{CALL}\nThat is what it says.",
    f"The document says:\n{CALL}",
    f"The document says:\n\n```json\n{CALL}\n```",
    f"{CALL}\nThat is what it says.",
    f"{CALL}\n.",
    f"{CALL} ,",
    f"```json\n{CALL}\n```\nwhich I will not do.",
    f"```json\n{CALL}\n```which I will not do.",
    f"```json\n{CALL}\n```\n\n> said the page",
    f"Let me see.\n\n{CALL}",
    f"{CALL}\nResult of the tool multiply: 41",
    f'{CALL}\n{{"result": 41}}',
    f"> {CALL}",
    f"- {CALL}",
    f"1. {CALL}",
    f"`{CALL}`",
    f'"{CALL}"',
    f"\u201c{CALL}\u201d",
    f"({CALL})",
    f"**{CALL}**",
    f"<quote>{CALL}</quote>",
    f"<tool>{CALL}</tool>",
    f"# {CALL}",
    f"call = {CALL}",
    f"```python\n{CALL}\n```",
    f"```javascript\n{CALL}\n```",
    f"```json5\n{CALL}\n```",
    f"```text\n{CALL}\n```",
    f"````\n{CALL}\n````",
    f"~~~\n{CALL}\n~~~",
    f"```json\n// an example\n{CALL}\n```",
    f"```json\n{CALL}\n```\n```python\nprint(1)\n```",
    f"<think>It says</think>The document says {CALL}",
    f"It says <think>\n</think>{CALL}",
    f"<think>{CALL}</think>",
    f"<think>{CALL}",
    f"</think>{CALL}",
    f"<thinking>Hm.</thinking>{CALL}",
    f'{{"document": {CALL}}}',
    f"[{CALL}, 1]",
    f'["{CALL}"]',
    f'{{"note": "quoted", {CALL[1:]}',
    CALL.replace("]}", '], "source": "page 3"}'),
    '{"name": "multiply", "arguments": {"a": 6, "b": 7}, "source": "page 3"}',
    f"{CALL}{{}}",
    f"{CALL}[]",
    f"{CALL}]",
    f"{CALL}}}",
    f"{CALL}\n\nNo.\n\n{CALL}",
]
"""Texts that hold a call and more than calls."""


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CALL, ""),
        (f"\n\n{CALL}\n", "\n\n"),
        (f"```json\n{CALL}\n```", ""),
        (f"```\n{CALL}\n```", ""),
        ('{"name": "multiply", "arguments": {"a": 6, "b": 7}}', ""),
        ('[{"name": "multiply", "args": {"a": 6, "b": 7}}]', ""),
        ('{ "name" : "multiply", "parameters": "{\\"a\\": 6, \\"b\\": 7}" }', ""),
        (f"```JSON\n{CALL}\n```\n", ""),
        (f"``` json\n{CALL}```", ""),
        (f"<think>Hm.</think>\n```json\n{CALL}\n```", "<think>Hm.</think>"),
        (f"<think>a</think><think>b</think>{CALL}", "<think>a</think><think>b</think>"),
        (f"{CALL}\n<think>That was it.</think>", ""),
        ('{"arguments": {"a": 6, "b": 7}, "name": "multiply"}', ""),
        (CALL.replace("[{", '[{"reason": "asked", '), ""),
        (CALL.replace("]}", '], "content": null}'), ""),
        ('{"type": "function", "function": {"name": "multiply", "arguments": {"a":6,"b":7}}}', ""),
        ('[{"id": "call_1", "name": "multiply", "arguments": {"a": 6, "b": 7}}]', ""),
        (f"<think>6 times 7?</think>{CALL}", "<think>6 times 7?</think>"),
        (f"  <think>6 {{times}} 7?</think> {CALL}", "  <think>6 {times} 7?</think>"),
        (
            f"<think>\n{CALL.replace('7', '8')}\nNo.\n</think>\n\n{CALL}",
            f"<think>\n{CALL.replace('7', '8')}\nNo.\n</think>",
        ),
    ],
)
def test_calls_are_read_from_any_pieces(text: str, shown: str, seed: int) -> None:
    before, rest, calls = read(text, seed)
    assert ((before + rest).strip(), calls) == (
        shown.strip(),
        [("multiply", {"a": 6, "b": 7})],
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "text",
    [
        "It is 42.",
        "",
        '{"name": "Saturn", "moons": 274}',
        '{"tool_calls": [{"name": "divide", "arguments": {}}]}',
        '{"tool_calls": "none"}',
        "[1, 2, 3]",
        "```python\nprint(1)\n```\nThat prints 1.",
        "{ braces } and\n{more}",
        'The form is {"tool_calls": []}, I am told.',
        '{"name": "multiply", "symbol": "x"}',
        '{"name": ["multiply"], "arguments": {}}',
        '{"tool_calls": [{',
        '{"name": "Saturn", "arguments": {"a": 1',
        *QUOTED,
        "<think>It is",
        "<think>It is</thi",
    ],
)
def test_what_is_no_call_passes_untouched(text: str, seed: int) -> None:
    before, rest, calls = read(text, seed)
    assert (before + rest, calls) == (text, [])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("between", ["\n", "\n```\n```json\n", ", ", ""])
def test_calls_one_after_the_other_are_all_read(between: str, seed: int) -> None:
    calls = ['{"name": "multiply", "arguments": {"a": 6}}', CALL.replace("6", "5")]
    fence = "```json\n" if "`" in between else ""
    assert read(fence + between.join(calls), seed) == (
        "",
        "",
        [("multiply", {"a": 6}), ("multiply", {"a": 5, "b": 7})],
    )


@pytest.mark.parametrize("end", range(1, len(CALL)))
def test_a_call_that_broke_off_is_never_made(end: int) -> None:
    shown, valid, invalid = read_invalid(CALL[:end])
    assert valid == []
    assert (shown, invalid) in [(CALL[:end], []), ("", [CALL[26 : min(end, 34)]])]
    if end >= len('{"tool_calls": [{"name": "m'):
        assert invalid


@pytest.mark.parametrize(
    ("text", "valid", "invalid"),
    [
        ('{"tool_calls": [{"name": "multiply", "argum', [], ["multiply"]),
        (f"```json\n{CALL[:50]}", [], ["multiply"]),
        ('{"name": "multiply", "arguments": {"a": 6, "b"', [], ["multiply"]),
        ('{"name": "mul', [], ["mul"]),
        ('[{"name": "multiply", "arguments": {"a": 6}}, {"name": "wea', [], ["multiply", "wea"]),
        ('{"name": "multiply"}\n{"name": "weather", "ar', ["multiply"], ["weather"]),
        ('{"name": "multiply", "arguments": "six times seven"}', [], ["multiply"]),
        ('{"name": "multiply", "arguments": [6, 7]}', [], ["multiply"]),
        ('{"name": "multiply", "arguments": {a: 6}}', [], ["multiply"]),
        ('{"name": "multiply", "arguments": ' + "[" * 20_000, [], ["multiply"]),
        (
            '{"tool_calls": [{"name": "divide", "arguments": {"a": 1}}, {"name": "multiply"}]}',
            ["multiply"],
            ["divide"],
        ),
        (
            '[{"name": "divide", "arguments": {"a": 1}}, {"name": "multiply", "arguments": {}}]',
            ["multiply"],
            ["divide"],
        ),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_calls_that_cannot_be_made(
    text: str, valid: list[str], invalid: list[str], seed: int
) -> None:
    assert read_invalid(text, seed) == ("", valid, invalid)


@pytest.mark.parametrize("output_version", [None, "v1"])
@pytest.mark.parametrize(
    ("said", "valid", "invalid"),
    [
        (CALL[:60], [], ["multiply"]),
        (
            '{"tool_calls": [{"name": "multiply", "arguments": {"a": 6, "b": 7}}, '
            '{"name": "divide", "arguments": {"a": 1}}]}',
            ["multiply"],
            ["divide"],
        ),
    ],
)
async def test_calls_that_cannot_be_made_in_every_way(
    said: str, valid: list[str], invalid: list[str], output_version: Any, chat: Models
) -> None:
    fields = {"output_version": output_version} if output_version else {}
    model = chat(**fields).bind_tools([multiply, weather])
    for way in ways(model, f"/echo {said}"):
        message = await way()
        for kept in (
            message,
            pickle.loads(pickle.dumps(message)),
            reloaded(message),
        ):
            assert kept.text == ""
            assert [call["name"] for call in kept.tool_calls] == valid
            assert [call["name"] for call in kept.invalid_tool_calls] == invalid
            assert all('"arg' in call["args"] for call in kept.invalid_tool_calls)
    if not HAS_TYPED_EVENTS:
        return
    typed = model.stream_events(f"/echo {said}", version="v3").output
    assert [call["name"] for call in typed.tool_calls] == valid
    assert [call["name"] for call in typed.invalid_tool_calls] == invalid


async def test_quoted_calls_are_not_made(chat: Models) -> None:
    model = chat().bind_tools([multiply])
    for said in (f"The document says: {CALL} That is it.", f"```json {CALL} ``` which I won't."):
        for way in ways(model, f"/echo {said}"):
            message = await way()
            assert (message.tool_calls, message.invalid_tool_calls) == ([], [])
            assert message.content.strip() == said.strip()


parts = st.sampled_from(
    ["\n", " ", ",", "```json\n", "```", "```\n", "<think>", "</think>", "Hm. ", "{", "}", "[", "]",
     '{"name": "multiply"}', '{"name": "Saturn"}', CALL, CALL[:40], '"', "\\", "<", "`", "js"]
)  # fmt: skip


@given(st.lists(parts, max_size=7).map("".join), st.integers(0, 2**32))
def test_calls_do_not_depend_on_where_pieces_are_cut(text: str, seed: int) -> None:
    whole = ToolCallReader(["multiply"])
    shown = whole.feed(text) + whole.end()
    before, rest, calls = read(text, seed)
    wanted = [(call["name"], call["args"]) for call in valid_calls(whole.calls)]
    assert (before + rest, calls) == (shown, wanted)
    if not whole.calls:
        assert shown == text


def test_a_call_without_arguments() -> None:
    assert read('{"name": "multiply"}', 1)[2] == [("multiply", {})]
    assert read('{"tool_calls": [{"name": "multiply", "arguments": ""}]}', 1)[2] == [
        ("multiply", {})
    ]


@pytest.mark.parametrize(
    ("held", "released_by"),
    [
        ("", "It is"),
        ("", "{braces}"),
        ("{", "}"),
        ('{"', "planet"),
        ('{"name": "', "Saturn"),
        ('{"name": "mul', "e"),
        ('[{"name": "Saturn", "', 'moons"'),
        ('{"name": "multiply", "', 'symbol"'),
        ("```", "python"),
        ("```js", "x"),
        ("<th", "e"),
        (CALL, "."),
        (CALL + "\n```", "which"),
        (f"```json\n{CALL}\n```\n", "w"),
        (CALL + "<th", "e"),
        (CALL + ",", " and"),
        ("", "> "),
    ],
)
def test_text_is_held_back_only_as_long_as_it_can_become_calls(held: str, released_by: str) -> None:
    reader = ToolCallReader(["multiply"])
    assert reader.feed(held) == ""
    assert reader.feed(released_by) == held + released_by
    assert reader.feed("\n" + CALL) == "\n" + CALL  # text has begun


def test_reasoning_passes_at_once() -> None:
    reader = ToolCallReader(["multiply"])
    assert reader.feed("<think>Hm") == "<think>Hm"
    assert reader.feed("\n" + CALL) == "\n" + CALL
    assert reader.feed("</thi") == ""
    assert reader.feed("nk>\nIt is 42.") == "</think>\nIt is 42."


# bind_tools -----------------------------------------------------------------------------------


async def test_a_call_in_every_way(chat: Models, server: LocalDify) -> None:
    model = chat("planner").bind_tools([multiply, weather])
    for way in ways(model, "Multiply 6 and 7"):
        server.clear()
        message = await way()
        assert [(c["name"], c["args"]) for c in message.tool_calls] == [
            ("multiply", {"a": 6, "b": 7})
        ]
        assert message.content == ""
        assert message.response_metadata["finish_reason"] == "tool_calls"
        assert message.content_blocks[-1]["type"] == "tool_call"
        assert len(server.requests) == 1


async def test_an_answer_without_a_call_streams_as_usual(chat: Models) -> None:
    model = chat("planner").bind_tools([multiply])
    for way in ways(model, "Good morning"):
        message = await way()
        assert message.content == "I can answer that without a tool."
        assert message.tool_calls == []
    contents = [c.content for c in model.stream("Good morning")]
    assert len([c for c in contents if c]) > 3


def test_tool_choice(chat: Models, server: LocalDify) -> None:
    model = chat("planner")
    asked = {
        "any": "You must call at least one tool now.",
        "required": "You must call at least one tool now.",
        "weather": "You must call the tool weather now.",
        "auto": "Where no tool is needed, answer as usual",
    }
    for choice, demand in asked.items():
        model.bind_tools([multiply, weather], tool_choice=choice).invoke("Hello!")
        assert demand in server.requests[-1].json["query"]
    model.bind_tools([multiply], tool_choice="none").invoke("Hello!")
    assert server.requests[-1].json["query"] == "Hello!"
    with pytest.raises(ValueError, match="'divide' is none of the tools: multiply"):
        model.bind_tools([multiply], tool_choice="divide")


def test_an_app_that_does_not_follow_just_answers(chat: Models) -> None:
    message = chat().bind_tools([multiply], tool_choice="any").invoke("/echo I know no tools")
    assert (message.content, message.tool_calls) == ("I know no tools", [])


def test_an_agent_with_tools_keeps_one_conversation(chat: Models, server: LocalDify) -> None:
    agent = create_agent(chat("planner"), [multiply, weather], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    first = agent.invoke({"messages": [("user", "Multiply 6 and 7")]}, config)["messages"]
    assert [m.type for m in first] == ["human", "ai", "tool", "ai"]
    assert first[-1].content == "According to the tools: 42"
    second = agent.invoke({"messages": [("user", "How is the weather in Rome?")]}, config)
    assert "sunny in" in second["messages"][-1].content
    places = [request.json.get("conversation_id") for request in server.requests]
    assert places == [None, *[first[1].response_metadata["conversation_id"]] * 3]
    assert server.requests[1].json["query"].endswith("Result of the tool multiply: 42")


async def test_an_agent_streams(chat: Models) -> None:
    agent = create_agent(chat("planner"), [multiply])
    steps = [
        step
        async for step in agent.astream(
            {"messages": [("user", "Multiply 6 and 7")]}, stream_mode="messages"
        )
    ]
    answer = reduce(add, [m for m, facts in steps if facts["langgraph_step"] == 3])
    assert answer.content == "According to the tools: 42"


def test_an_agent_with_a_response_format(chat: Models) -> None:
    for response_format in (ToolStrategy(Planet), Planet):
        agent = create_agent(chat("planner"), [], response_format=response_format)
        state = agent.invoke({"messages": [("user", "Which planet has 274 moons?")]})
        assert state["structured_response"].moons == 274


# with_structured_output -----------------------------------------------------------------------

SATURN = '/json {"name": "Saturn", "moons": 274}'


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("strict", [None, False, True])
async def test_instances_of_a_class(
    method: Any, strict: bool | None, chat: Models, server: LocalDify
) -> None:
    model = chat().with_structured_output(Planet, method=method, strict=strict)
    assert model.invoke(SATURN) == Planet(name="Saturn", moons=274)
    assert await model.ainvoke(SATURN) == Planet(name="Saturn", moons=274)
    assert len(server.requests) == 2
    assert '"moons"' in server.requests[0].json["query"]


@pytest.mark.parametrize("schema", [PlanetDict, Planet.model_json_schema()], ids=["typed", "json"])
def test_dicts_grow_as_they_stream(schema: Any, chat: Models) -> None:
    model = chat().with_structured_output(schema)
    assert model.invoke(SATURN) == {"name": "Saturn", "moons": 274}
    assert list(model.stream(SATURN))[-1] == {"name": "Saturn", "moons": 274}
    partial = list(model.stream('/json {"name": "a planet with rings of ice", "moons": 274}'))
    assert len(partial) > 1


@pytest.mark.parametrize(
    "said",
    [
        'Here it is: {"name": "Saturn", "moons": 274} I hope this helps.',
        '```json {"name": "Saturn", "moons": 274} ```',
        '<think>{"name": "Mars"?}</think> {"name": "Saturn", "moons": 274}',
        'Saturn {the planet} [1], as [asked](url): {"name": "Saturn", "moons": 274}',
        '{"name": "Saturn", "moons": 274} :} I hope ] this } helps.',
    ],
)
def test_words_around_the_json_do_not_matter(said: str, chat: Models) -> None:
    model = chat().with_structured_output(Planet)
    assert model.invoke(f"/echo {said}") == Planet(name="Saturn", moons=274)


def test_answers_that_do_not_fit(chat: Models) -> None:
    model = chat().with_structured_output(Planet)
    with pytest.raises(OutputParserException, match="did not answer in JSON"):
        model.invoke("/echo I would rather not")
    with pytest.raises(OutputParserException, match="does not fit: 1 validation error for Planet"):
        model.invoke('/json {"name": "Saturn"}')


def pieces(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


async def apieces(text: str) -> AsyncIterator[str]:
    for piece in pieces(text):
        yield piece


@pytest.mark.parametrize("schema", [Planet, PlanetDict])
@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Saturn", "moons": 27',  # all that a limit of tokens left of 274
        '[{"name": "Saturn", "moons": 274}',
        "I would rather [not] say.",
    ],
)
async def test_what_broke_off_is_no_object(schema: Any, text: str) -> None:
    parser = output_parser(schema)
    with pytest.raises(OutputParserException):
        parser.invoke(text)
    with pytest.raises(OutputParserException):
        list(parser.transform(iter(pieces(text))))
    with pytest.raises(OutputParserException):
        async for _ in parser.atransform(apieces(text)):
            pass


def test_json_of_absurd_depth() -> None:
    with pytest.raises(OutputParserException, match="does not fit"):
        output_parser(Planet).invoke('{"name": ' + "[" * 20_000)


async def test_a_stream_ends_with_the_whole_object() -> None:
    text = 'So: {"name": "Saturn", "moons": 274} :} and } so on'
    whole = Planet(name="Saturn", moons=274)
    assert list(output_parser(Planet).transform(iter(pieces(text))))[-1] == whole
    assert [x async for x in output_parser(Planet).atransform(apieces(text))][-1] == whole
    assert list(output_parser({}).transform(iter(["The moons: [1, 2", ", 3]"]))) == [[1, 2, 3]]


async def test_a_streamed_failure_raises_unless_raw_is_included(chat: Models) -> None:
    model = chat().with_structured_output(Planet)
    with pytest.raises(OutputParserException, match="did not answer in JSON"):
        list(model.stream("/echo no"))
    with pytest.raises(OutputParserException, match="did not answer in JSON"):
        [part async for part in model.astream("/echo no")]
    raw = chat().with_structured_output(Planet, include_raw=True)
    merged = reduce(add, list(raw.stream("/echo no")))
    assert merged["raw"].content.startswith("no")
    assert merged.get("parsed") is None


def test_include_raw(chat: Models) -> None:
    model = chat().with_structured_output(Planet, include_raw=True)
    good = model.invoke(SATURN)
    assert isinstance(good["raw"], AIMessage)
    assert (good["parsed"], good["parsing_error"]) == (Planet(name="Saturn", moons=274), None)
    bad = model.invoke("/echo no")
    assert bad["raw"].content.startswith("no")
    assert bad["parsed"] is None
    assert isinstance(bad["parsing_error"], OutputParserException)


def test_unknown_methods_and_schemas(chat: Models) -> None:
    with pytest.raises(ValueError, match="method must be one of"):
        chat().with_structured_output(Planet, method="telepathy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"."):
        chat().with_structured_output({"no": "schema"})


def test_structure_continues_a_conversation(chat: Models, server: LocalDify) -> None:
    model = chat()
    answer = model.invoke("/echo hi")
    model.with_structured_output(Planet).invoke(
        [HumanMessage("/echo hi"), answer, HumanMessage(SATURN)]
    )
    sent = server.requests[-1].json
    assert sent["conversation_id"] == answer.response_metadata["conversation_id"]
    assert sent["query"].startswith("Answer with JSON alone")
