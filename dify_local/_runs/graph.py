"""The graph of the workflow and the chatflow: start, knowledge, model, maybe a person, end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from dify_local._answers.reply import Attachment, Failure, Pause, Replacement, Step, Thought
from dify_local._protocol.values import JsonObject, now
from dify_local._runs.form_values import value_type
from dify_local._runs.generation import GenerationFailed, GenerationStopped
from dify_local._runs.graph_parts import part_events, retry_events
from dify_local._runs.human_input import HumanInputForm, forms_of
from dify_local._runs.nodes import Node
from dify_local._runs.run_events import RunEvents
from dify_local._runs.service import Service
from dify_local._runs.usage import no_usage
from dify_local._runs.workflow_run import WorkflowRun

_MODERATED = "Stopped by output moderation."


@dataclass
class Graph:
    """Executes one run and yields its events.

    Args:
        service: The running service.
        run: The run.
    """

    service: Service
    run: WorkflowRun

    def __post_init__(self) -> None:
        self.events = RunEvents(self.service, self.run)
        self.generation = self.run.generation
        self.pause: Pause | None = None

    async def from_start(self) -> AsyncGenerator[JsonObject, None]:
        """Run from the start to the end, or to the person in between."""
        inputs = self.generation.inputs
        yield self.events.started("initial")
        for event in self.events.instant_node(
            "start", "start", "Start", inputs=inputs, outputs=inputs
        ):
            yield event
        if self.generation.reply.hits:
            for event in self.events.instant_node(
                "knowledge",
                "knowledge-retrieval",
                "Knowledge Retrieval",
                inputs={"query": self.generation.query},
                outputs={"result": self.events.retrieved()},
                process_data={"usage": no_usage()},
            ):
                yield event
        for event in part_events(self.events, self.generation.reply.graph_parts):
            yield event
        async for event in self._model("llm", "LLM"):
            yield event

    async def from_form(self) -> AsyncGenerator[JsonObject, None]:
        """Run on from the form that has been filled in."""
        form = self.run.form
        assert form is not None  # noqa: S101 - only a paused run is resumed
        node = next(node for node in self.run.nodes if node.node_id == form.node_id)
        yield self.events.started("resumption")
        yield self.events.node("node_started", node.started())
        for event in self.events.form_filled():
            yield event
        submitted = form.submitted or {}
        inputs = {
            name: {"value_type": value_type(value), "value": value}
            for name, value in submitted.items()
        }
        finished = node.finished(inputs=inputs, outputs=form.outputs())
        yield self.events.node("node_finished", finished)
        async for event in self._go_on("LLM after review"):
            yield event

    async def from_expired_form(self) -> AsyncGenerator[JsonObject, None]:
        """Run on without the form, which nobody has filled in in time."""
        form = self.run.form
        assert form is not None  # noqa: S101 - only a paused run is resumed
        node = next(node for node in self.run.nodes if node.node_id == form.node_id)
        yield self.events.started("resumption")
        yield self.events.node("node_started", node.started())
        if not self.service.release.since(1, 16):
            data = {
                "node_id": form.node_id,
                "node_title": form.node_title,
                "expiration_time": form.expiration_time,
            }
            yield self.events.event("human_input_form_timeout", data)
        outputs = {
            "__action_id": "",
            "__action_value": "",
            "__rendered_content": form.form_content,
        }
        yield self.events.node("node_finished", node.finished(outputs=outputs))
        async for event in self._go_on("LLM after the timeout"):
            yield event

    async def _go_on(self, title: str) -> AsyncGenerator[JsonObject, None]:
        """Go on behind a form, or pause again for the forms of the other branches."""
        if self.run.further:
            self.run.wait_for(self.run.further)
            for event in self.events.pause():
                yield event
            return
        async for event in self._after_form(title):
            yield event

    def _after_form(self, title: str) -> AsyncGenerator[JsonObject, None]:
        return self._model("llm2", title)

    async def _model(self, node_id: str, title: str) -> AsyncGenerator[JsonObject, None]:
        """Run the model and what follows it, whichever way it ends."""
        node = self.run.begin(node_id, "llm", title)
        yield self.events.node("node_started", node.started())
        for event in retry_events(self.events, node, self.generation.reply.graph_parts):
            yield event
        try:
            async for event in self._said(node_id):
                yield event
        except GenerationStopped as stopped:
            ending = self._stopped(str(stopped))
        except GenerationFailed as failed:
            ending = self._failed(node, failed.failure)
        else:
            finished = self._model_finished(node, self.generation.answer)
            yield self.events.node("node_finished", finished)
            ending = self._paused(self.pause) if self.pause else self._succeeded()
        for event in ending:
            yield event

    async def _said(self, node_id: str) -> AsyncGenerator[JsonObject, None]:
        """Yield what the model says and thinks, and what happens to it."""
        async for step in self._steps():
            if isinstance(step, str):
                yield self.events.text(step, node_id)
            elif isinstance(step, Thought):
                self.run.reasoning += step.text
                yield self.events.reasoning(step.text)
            elif isinstance(step, Replacement):
                self.generation.replace(step.text)
                yield self.events.replacement(step.text)
                if self.run.chatflow and self.service.release.since(1, 16, 1):
                    raise GenerationStopped(_MODERATED)
            elif isinstance(step, Attachment):
                self._attach(step)
            elif isinstance(step, Pause):
                self.pause = step if self.service.release.resumable else None
        if self.run.reasoning:
            yield self.events.reasoning("", is_final=True)
        if not self.generation.answer:
            yield self.events.text("", node_id)

    def _steps(self) -> AsyncIterator[Step | JsonObject]:
        separated = self.run.chatflow and self.service.release.since(1, 16)
        return self.generation.play(separate_thoughts=separated)

    def _model_finished(self, node: Node, text: str) -> JsonObject:
        generation, usage = self.generation, self.generation.usage()
        model = {"model_provider": "local", "model_name": "extractive"}
        context = {"#context#": generation.reply.context} if generation.reply.context else {}
        made = {"usage": usage, "finish_reason": "stop"}
        prompts = [{"role": "user", "text": generation.query, "files": []}]
        return node.finished(
            inputs={**context, **model},
            process_data={"model_mode": "chat", "prompts": prompts, **made, **model},
            outputs={"text": text, "reasoning_content": self.run.reasoning, **made},
            execution_metadata={
                "total_tokens": usage["total_tokens"],
                "total_price": usage["total_price"],
                "currency": usage["currency"],
            },
        )

    def _attach(self, attachment: Attachment) -> None:
        uploads, generation = self.service.uploads, self.generation
        made = uploads.make(
            generation.app.id,
            generation.end_user,
            attachment.name,
            attachment.mime_type,
            attachment.content,
        )
        self.run.files.append(uploads.file_variable(uploads.file_of_answer(made)))

    def _end(self, status: str, error: str | None = None) -> None:
        self.run.status, self.run.error, self.run.finished_at = status, error, now()

    def _succeeded(self) -> list[JsonObject]:
        run, events = self.run, self.events
        if run.chatflow:
            run.outputs = {"answer": self.generation.answer, "files": run.files}
            nodes = events.instant_node(*self._end_node(), outputs=run.outputs)
        else:
            run.outputs = self._workflow_outputs()
            nodes = events.instant_node(*self._end_node(), inputs=run.outputs, outputs=run.outputs)
        self._end("succeeded")
        finished = [events.finished()]
        if run.chatflow:
            # Since 1.13 the message ends before the run does.
            resumable = self.service.release.resumable
            finished.insert(0 if resumable else 1, events.message_end())
        spoken = events.speech_before_the_end()
        return [*spoken, *nodes, *finished, *events.speech_after_the_end()]

    def _end_node(self) -> tuple[str, str, str]:
        return ("answer", "answer", "Answer") if self.run.chatflow else ("end", "end", "End")

    def _workflow_outputs(self) -> JsonObject:
        inputs = self.generation.inputs
        if self.generation.reply.outputs is not None:
            return self.generation.reply.outputs
        return {
            "text": self.generation.answer,
            "usage": self.generation.usage(),
            "style": inputs.get("style"),
            "count": inputs.get("count"),
            "document": inputs.get("document"),
            "sources": [hit.document.name for hit in self.generation.reply.hits],
            "files": self.run.files,
        }

    def _stopped(self, reason: str) -> list[JsonObject]:
        resumable = self.service.release.resumable
        by_user = "Aborted: User requested stop" if resumable else "Stopped by user."
        self._end("stopped", reason or by_user)
        if self.run.chatflow and not resumable:
            return [self.events.finished(), self.events.message_end()]
        return [self.events.finished()]

    def _failed(self, node: Node, failure: Failure) -> list[JsonObject]:
        self._end("failed", failure.message)
        data = node.finished(status="failed", error=failure.message)
        events = [self.events.node("node_finished", data), self.events.finished()]
        if self.run.chatflow and not self.service.release.resumable:
            events.append(self.events.error(failure))
        return events

    def _paused(self, pause: Pause, form: HumanInputForm | None = None) -> list[JsonObject]:
        forms = [form] if form else forms_of(self.generation.answer)
        self.run.wait_for(forms)
        started = []
        for form in forms:
            if pause.lifetime is not None:
                form.expiration_time = now() + int(pause.lifetime)
            node = self.run.begin(form.node_id, "human-input", form.node_title)
            node.status = "paused"
            started.append(self.events.node("node_started", node.started()))
        return [*started, *self.events.pause()]
