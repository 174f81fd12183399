"""What tracing tools receive: LangChain's tracers, OpenInference's spans, Langfuse's handler.

Importable without those tools, which take no old frameworks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class Trace(BaseTracer):
    """Keeps finished trees of LangChain's runs."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)

    @property
    def runs(self) -> list[Run]:
        """All runs, parents first."""
        runs = list(self.roots)
        for run in runs:
            runs += run.child_runs
        return runs


def tokens_of_run(run: Run) -> int:
    """The tokens that a tracer sums for a run, wherever tracers look."""
    outputs = run.outputs or {}
    told = [(outputs.get("llm_output") or {}).get(name) for name in ("token_usage", "usage")]
    for generations in outputs.get("generations") or []:
        for generation in generations:
            told.append((generation.get("generation_info") or {}).get("usage_metadata"))
            told.append(generation.get("message", {}).get("kwargs", {}).get("usage_metadata"))
    return sum((usage or {}).get("total_tokens", 0) for usage in told)


class Spans:
    """A local collector of OpenTelemetry's spans."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def clear(self) -> None:
        self.exporter.clear()

    def named(self, name: str) -> ReadableSpan:
        return next(span for span in self.all if span.name == name)

    def below(self, name: str) -> list[str]:
        """Names of the spans directly below the one called `name`, in their order."""
        parent = self.named(name).get_span_context()
        found = [s for s in self.all if s.parent and s.parent.span_id == parent.span_id]
        return [span.name for span in sorted(found, key=lambda span: span.start_time or 0)]

    @property
    def tokens(self) -> int:
        """The sum that OpenInference's readers show."""
        return sum(int((s.attributes or {}).get("llm.token_count.total", 0)) for s in self.all)

    @property
    def text(self) -> str:
        """Everything that was exported."""
        return "\n".join(span.to_json() for span in self.all)


@contextmanager
def openinference_langchain() -> Iterator[Spans]:
    """OpenInference's instrumentor for LangChain, while the block runs."""
    from openinference.instrumentation.langchain import LangChainInstrumentor

    spans = Spans()
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        yield spans
    finally:
        instrumentor.uninstrument()


@contextmanager
def openinference_llama_index() -> Iterator[Spans]:
    """OpenInference's instrumentor for LlamaIndex, while the block runs."""
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    spans = Spans()
    instrumentor = LlamaIndexInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        yield spans
    finally:
        instrumentor.uninstrument()


@contextmanager
def langfuse() -> Iterator[tuple[Any, Spans]]:
    """Langfuse's callback handler, and what it exports."""
    from langfuse import Langfuse
    from langfuse.langchain import CallbackHandler
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = Spans()
    key = f"pk-lf-{uuid4()}"  # by which Langfuse remembers its clients
    client = Langfuse(
        public_key=key,
        secret_key="sk-lf-local",
        base_url="http://127.0.0.1:9",
        tracer_provider=spans.provider,  # which exports to the collector already
        span_exporter=InMemorySpanExporter(),
    )
    try:
        yield CallbackHandler(public_key=key), spans
    finally:
        client.shutdown()


def langfuse_tokens(spans: Spans) -> int:
    """The sum of the usage that Langfuse is told."""
    total = 0
    for span in spans.all:
        usage = (span.attributes or {}).get("langfuse.observation.usage_details")
        if isinstance(usage, str):
            total += json.loads(usage).get("total", 0)
    return total


def payload(trace: Trace) -> str:
    """Everything that a tracer was told, as text."""
    return "\n".join(
        run.model_dump_json(fallback=repr, exclude={"child_runs"}) for run in trace.runs
    )
