"""A chatflow's answer as OpenTelemetry's spans, by OpenInference's instrumentor.

Runs offline against a local chatflow, or with DIFY_BASE_URL and DIFY_API_KEY against yours. Give
the provider an OTLP exporter, and the spans show in Phoenix or any other collector.
"""

from __future__ import annotations

import sys

from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dify_local import app_from_environment
from langchain_dify import ChatDify


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planet has the most moons?"
    collector = InMemorySpanExporter()  # or ConsoleSpanExporter(), OTLPSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(collector))
    LangChainInstrumentor().instrument(tracer_provider=provider)
    print(ChatDify(user="example", model_name="planets").invoke(question).text)
    print(f"\n{'span':<22} {'kind':<10} {'tokens':>6}  session")
    for span in sorted(collector.get_finished_spans(), key=lambda span: span.start_time or 0):
        told = span.attributes or {}
        kind, tokens = told.get("openinference.span.kind"), told.get("llm.token_count.total", "")
        print(f"{span.name:<22} {kind!s:<10} {tokens!s:>6}  {told.get('session.id', '')}")


if __name__ == "__main__":
    with app_from_environment("advanced-chat"):
        main()
