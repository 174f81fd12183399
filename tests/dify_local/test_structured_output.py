from __future__ import annotations

import json
from typing import Any

import pytest

from dify_local._answers.structured_output import asked_structure, fill
from dify_local._answers.tool_calling import plan

PLANET = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "moons": {"type": "integer"},
        "kind": {"$ref": "#/$defs/Kind"},
        "rings": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "missions": {"type": "array", "items": {"type": "string"}},
    },
    "$defs": {"Kind": {"enum": ["rocky", "gas giant"]}},
}
ASKED = "Answer with JSON alone that is valid by this JSON Schema:\n\n"


def test_a_schema_is_filled_from_a_sentence() -> None:
    assert fill(PLANET, "Saturn, a gas giant, has 1,274 moons; Cassini was there.") == {
        "name": "Saturn",
        "moons": 1274,
        "kind": "gas giant",
        "rings": True,
        "missions": ["Cassini"],
    }


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "number"}, 0),
        ({"type": "null"}, None),
        ({"const": "fixed"}, "fixed"),
        ({"type": "string"}, "no names here"),
    ],
)
def test_where_the_text_says_nothing(schema: dict[str, Any], value: Any) -> None:
    assert fill(schema, "no names here") == value


def test_the_planner_answers_in_the_json_that_is_asked_for() -> None:
    prompt = f"{ASKED}{json.dumps(PLANET)}\n\nMars, a rocky planet, has 2 moons."
    assert asked_structure(prompt) == (PLANET, prompt)
    assert json.loads(plan(prompt))["moons"] == 2
    assert asked_structure("Mars has 2 moons.") is None


def test_the_planner_reads_how_llama_index_asks() -> None:
    schema = json.dumps(PLANET).replace("{", "{{").replace("}", "}}")
    prompt = (
        f"Mars has 2 moons.\n\n\nHere's a JSON schema to follow:\n{schema}\n\n"
        "Output a valid JSON object but do not repeat the schema.\n"
    )
    filled = json.loads(plan(prompt))
    assert (filled["name"], filled["moons"]) == ("Mars", 2)


def test_the_planner_calls_the_tool_it_must() -> None:
    tools = '{"name": "weather", "description": "", "parameters": {}}\n'
    form = 'Answer {"tool_calls": [{"name": "x", "arguments": {}}]}.\n\n'
    must = "You must call the tool weather now.\n\nHello!"
    calls = json.loads(plan(f"{tools}\n{form}{must}"))["tool_calls"]
    assert calls == [{"name": "weather", "arguments": {}}]
