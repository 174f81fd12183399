"""A Dify workflow as a runnable: checked inputs, progress while it runs, outputs.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY against yours. Name the
app's inputs as they are in its form; without any, those that it must have are made up:

    python langchain_workflow.py text="The moons of Mars" style=formal count=2
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic import ValidationError

from dify_local import app_from_environment
from langchain_dify import DifyWorkflow

SAMPLES = {"string": "The moons of Mars", "number": 1, "boolean": True, "object": {}}


def sample(field: dict[str, Any]) -> object:
    """A value that the form accepts: the first choice, or one of the right type."""
    if "enum" in field:
        return field["enum"][0]
    value = SAMPLES.get(field.get("type", "string"))
    return value[: field.get("maxLength")] if isinstance(value, str) else value


def main() -> None:
    workflow = DifyWorkflow(user="example")
    form = workflow.get_input_schema().model_json_schema()
    fields, required = form["properties"], form.get("required", [])

    print("The app takes:")
    for name, field in fields.items():
        print(f"  {name}{'' if name in required else ' (optional)'}: {field['description']}")
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    inputs = given or {name: sample(fields[name]) for name in required}

    try:
        workflow.invoke({**inputs, "misspelt": "?"})
    except ValidationError as error:
        print(f"\nRefused before the request: misspelt: {error.errors()[0]['msg']}")

    print(f"\nThe run with {inputs}:")
    outputs: dict[str, Any] = {}
    for outputs in workflow.stream(inputs):
        for node in outputs.get("nodes", []):
            print(f"  [{node['event']}] {node.get('title', '')}")
    print("\nThe outputs:")
    for name, value in outputs.items():
        print(f"  {name}: {value}")


if __name__ == "__main__":
    with app_from_environment("workflow"):
        main()
