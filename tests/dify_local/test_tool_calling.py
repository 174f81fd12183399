from __future__ import annotations

import json

import pytest

from dify_local._answers.tool_calling import plan
from tests.dify_local.conftest import MakeCaller

TOOLS = json.dumps(
    [
        {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
        {
            "type": "function",
            "function": {
                "name": "multiply",
                "description": "Multiply two numbers.",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                },
            },
        },
    ],
    indent=2,
)
INSTRUCTIONS = f"""You can call these tools:
{TOOLS}

To call one, answer with JSON only: {{"tool_calls": [{{"name": "...", "arguments": {{}}}}]}}"""

REACT = """You have access to the following tools:
> Tool Name: multiply
Tool Description: multiply(a: int, b: int) -> int
Multiply two numbers.
Tool Args: {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}

Use the format:

```
Thought: I need a tool.
Action: tool name
Action Input: {"input": "hello"}
```

The tool will respond:

```
Observation: tool response
```

Below is the current conversation.
"""


@pytest.mark.parametrize(
    "question",
    [
        "\n\nWhat is 6 times 7?",
        "\nHuman: What is 6 times 7?",
        "\n\nThe conversation so far:\nUser: How is the weather?\nAssistant: Fine.\n\n6 times 7?",
    ],
)
def test_the_fitting_tool_is_called_in_the_form_that_is_shown(question: str) -> None:
    call = {"name": "multiply", "arguments": {"a": 6, "b": 7}}
    assert json.loads(plan(INSTRUCTIONS + question)) == {"tool_calls": [call]}


def test_text_arguments_take_the_question() -> None:
    call = json.loads(plan(INSTRUCTIONS + "\n\nHow is the weather in Rome?"))
    arguments = {"city": "How is the weather in Rome?"}
    assert call == {"tool_calls": [{"name": "get_weather", "arguments": arguments}]}


@pytest.mark.parametrize(
    "result",
    [
        "Result of the tool multiply: 42",
        "Tool result (multiply): 42",
        "Tool: 42",
        "Observation: 42",
    ],
)
def test_results_are_answered_from(result: str) -> None:
    asked = INSTRUCTIONS + "\n\nThe conversation so far:\nUser: 6 times 7?\nAssistant: {}\n\n"
    for prompt in (asked + result, INSTRUCTIONS + "\n\n" + result, result):
        assert plan(prompt) == "According to the tools: 42"


def test_several_results_are_joined_in_order() -> None:
    results = "Result of the tool multiply: 42\n\nResult of the tool get_weather: sunny"
    assert plan(results) == "According to the tools: 42 sunny"


def test_a_new_question_behind_old_results_counts() -> None:
    transcript = "User: 6 times 7?\nResult of the tool multiply: 42\nAssistant: It is 42."
    prompt = f"{INSTRUCTIONS}\n\n{transcript}\n\nAnd the weather in Rome?"
    assert json.loads(plan(prompt))["tool_calls"][0]["name"] == "get_weather"


def test_no_fitting_tool_means_no_call() -> None:
    assert plan(INSTRUCTIONS + "\n\nHello!") == "I can answer that without a tool."


def test_react() -> None:
    called = plan(REACT + "\n\nWhat is 6 times 7, if you multiply?")
    assert called.splitlines()[1:] == ["Action: multiply", 'Action Input: {"a": 6, "b": 7}']
    so_far = "The conversation so far:\nUser: Multiply 6 and 7\nAssistant: Thought: I need it.\n"
    step = "Action: multiply\nAction Input: {'a': 6}\n\nObservation: 42"
    answered = plan(f"{REACT}\n\n{so_far}{step}")
    assert answered.splitlines()[-1] == "Answer: According to the tools: 42"


def test_the_planner_is_an_app(caller: MakeCaller) -> None:
    answer = caller("planner").ask(INSTRUCTIONS + "\n\nWhat is 6 times 7?")["answer"]
    assert json.loads(answer)["tool_calls"][0]["name"] == "multiply"
