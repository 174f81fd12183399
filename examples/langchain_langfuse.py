"""A chatflow's answer as Langfuse's callback handler tells it.

Runs offline: the observations go to a local collector. Leave `tracer_provider` and
`span_exporter` out, and set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and LANGFUSE_BASE_URL, and
they go to Langfuse.
"""

from __future__ import annotations

import json
import sys

from langfuse import Langfuse
from langfuse.langchain import CallbackHandler
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dify_local import app_from_environment
from langchain_dify import ChatDify


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planet has the most moons?"
    collector = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(collector))
    Langfuse(
        public_key="pk-lf-local",
        secret_key="sk-lf-local",
        tracer_provider=provider,
        span_exporter=InMemorySpanExporter(),
    )
    model = ChatDify(user="example", model_name="planets")
    print(model.invoke(question, {"callbacks": [CallbackHandler()]}).text)
    print(f"\n{'observation':<22} {'type':<12} {'tokens':>6}")
    for span in sorted(collector.get_finished_spans(), key=lambda span: span.start_time or 0):
        told = span.attributes or {}
        usage = json.loads(str(told.get("langfuse.observation.usage_details", "{}")))
        kind = told.get("langfuse.observation.type")
        print(f"{span.name:<22} {kind!s:<12} {usage.get('total', '')!s:>6}")


if __name__ == "__main__":
    with app_from_environment("advanced-chat"):
        main()
