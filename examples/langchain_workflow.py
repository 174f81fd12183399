"""A Dify workflow as a runnable: checked inputs, progress while it runs, outputs.

Runs against a local app, or against yours with DIFY_BASE_URL and DIFY_API_KEY set (and a topic that
your app's form takes as `text`):

    python -m examples.langchain_workflow "The moons of Mars"
"""

from __future__ import annotations

import sys

from pydantic import ValidationError

from examples.app import chat_app
from langchain_dify import DifyWorkflow


def main() -> None:
    topic = " ".join(sys.argv[1:]) or "The moons of Mars"
    with chat_app("workflow") as app:
        report = DifyWorkflow(base_url=app.base_url, api_key=app.api_key, user="demo")

        print("The app takes:")
        for name, field in report.get_input_schema().model_json_schema()["properties"].items():
            print(f"  {name}: {field['description']}")

        try:
            report.invoke({"text": topic, "style": "shouting"})
        except ValidationError as error:
            print(f"\nRefused before the request: {error.errors()[0]['msg']}")

        print("\nThe run:")
        outputs: dict[str, object] = {}
        for outputs in report.stream({"text": topic, "style": "formal", "count": 2}):
            for node in outputs.get("nodes", []):
                print(f"  [{node['event']}] {node['title']}")
        print(f"\n{outputs['text']}")


if __name__ == "__main__":
    main()
