"""The events of workflow and chatflow runs, field by field."""

from __future__ import annotations

from dataclasses import dataclass

from dify_local._answers.reply import Failure
from dify_local._protocol.fields import known
from dify_local._protocol.values import JsonObject, new_id, now
from dify_local._runs import speech
from dify_local._runs.service import Service
from dify_local._runs.workflow_run import WorkflowRun

_MODEL_NODE = "llm"

_RETRIEVED = (
    "dataset_id",
    "dataset_name",
    "document_id",
    "document_name",
    "data_source_type",
    "segment_id",
    "retriever_from",
    "score",
)


@dataclass
class RunEvents:
    """Makes the events of one run, in the shapes of the release that is shown.

    Args:
        service: The running service.
        run: The run.
    """

    service: Service
    run: WorkflowRun

    def envelope(self, event: str) -> JsonObject:
        """Return the keys that every event of this run has."""
        generation = self.run.generation
        if not self.run.chatflow:
            return {
                "event": event,
                "workflow_run_id": self.run.id,
                "task_id": generation.task_id,
            }
        return {
            "event": event,
            "conversation_id": generation.conversation_id,
            "message_id": generation.message_id,
            "created_at": generation.created_at,
            "task_id": generation.task_id,
        }

    def event(self, event: str, data: JsonObject) -> JsonObject:
        """Return an event of the workflow family."""
        return {**self.envelope(event), "workflow_run_id": self.run.id, "data": data}

    def started(self, reason: str) -> JsonObject:
        """Return `workflow_started`."""
        data = {
            "id": self.run.id,
            "workflow_id": self.run.generation.app.workflow_id,
            "sequence_number": 1,
            "inputs": self.run.variables,
            "created_at": now(),
            "reason": reason,
        }
        return self.event("workflow_started", known(self.service.release, "run", data))

    def node(self, event: str, data: JsonObject) -> JsonObject:
        """Return an event of a node, with the fields of the release."""
        return self.event(event, known(self.service.release, "node", data))

    def instant_node(
        self,
        node_id: str,
        node_type: str,
        title: str,
        *,
        inputs: JsonObject | None = None,
        outputs: JsonObject | None = None,
        process_data: JsonObject | None = None,
    ) -> list[JsonObject]:
        """Return both events of a node that takes no time."""
        node = self.run.begin(node_id, node_type, title)
        started = self.node("node_started", node.started())
        data = node.finished(inputs=inputs, outputs=outputs, process_data=process_data)
        return [started, self.node("node_finished", data)]

    def text(self, text: str, node_id: str) -> JsonObject:
        """Return a piece of the answer: `message` in a chatflow, `text_chunk` in a workflow."""
        selector = [node_id, "text"]
        if not self.run.chatflow:
            data = {"text": text, "from_variable_selector": selector}
            return {**self.envelope("text_chunk"), "data": data}
        return {
            **self.envelope("message"),
            "id": self.run.generation.message_id,
            "answer": text,
            "from_variable_selector": selector,
        }

    def reasoning(self, text: str, *, is_final: bool = False) -> JsonObject:
        """Return a piece of what a model thinks, where that is separated from what it says."""
        data = {
            "message_id": self.run.generation.message_id,
            "reasoning": text,
            "node_id": _MODEL_NODE,
            "is_final": is_final,
        }
        return {**self.envelope("reasoning_chunk"), "data": data}

    def replacement(self, text: str) -> JsonObject:
        """Return the event by which moderation replaces the text so far."""
        if not self.run.chatflow:
            return {**self.envelope("text_replace"), "data": {"text": text}}
        replaced = known(
            self.service.release, "replacement", {"answer": text, "reason": "output_moderation"}
        )
        return {**self.envelope("message_replace"), **replaced}

    def error(self, failure: Failure) -> JsonObject:
        """Return the `error` event that follows a failed chatflow before 1.13."""
        event = self.envelope("error")
        del event["task_id"]
        message = f"Run failed: {failure.message}"
        return {**event, "code": "invalid_param", "status": 400, "message": message}

    def pause(self) -> list[JsonObject]:
        """Return the events that show the forms and say that the run waits."""
        forms, generation = self.run.forms, self.run.generation
        channels = self.service.release.since(1, 16)
        data = {
            "workflow_run_id": self.run.id,
            "paused_nodes": [form.node_id for form in forms],
            "outputs": {},
            "reasons": [form.reason(approval_channels=channels) for form in forms],
            "status": "paused",
            "created_at": generation.created_at,
            "elapsed_time": generation.elapsed(),
            "total_tokens": generation.usage()["total_tokens"],
            "total_steps": len(self.run.nodes),
        }
        required = [form.required(approval_channels=channels) for form in forms]
        return [
            *(self.event("human_input_required", form) for form in required),
            self.event("workflow_paused", data),
        ]

    def form_filled(self) -> list[JsonObject]:
        """Return the event that tells how the form was filled in; 1.16 has none."""
        form = self.run.form
        if form is None or self.service.release.since(1, 16):
            return []
        data = {
            "node_id": form.node_id,
            "node_title": form.node_title,
            "rendered_content": form.rendered(),
            "action_id": form.action,
            "action_text": form.action_title,
        }
        return [self.event("human_input_form_filled", data)]

    def finished(self) -> JsonObject:
        """Return `workflow_finished`."""
        data = {"sequence_number": 1, **self.run.finished_data()}
        return self.event("workflow_finished", known(self.service.release, "run", data))

    def message_end(self) -> JsonObject:
        """Return the `message_end` of a chatflow."""
        return {
            **self.envelope("message_end"),
            "id": self.run.generation.message_id,
            "metadata": self.metadata(),
            "files": self.run.files,
        }

    def metadata(self) -> JsonObject:
        """Return the metadata of a chatflow's answer."""
        release, generation = self.service.release, self.run.generation
        reasoning = {_MODEL_NODE: self.run.reasoning} if self.run.reasoning else {}
        metadata: JsonObject = {
            **({} if generation.reply.annotation else {"annotation_reply": None}),
            "retriever_resources": self.citations(),
            "usage": known(release, "usage", generation.usage()),
            "reasoning": reasoning,
        }
        if not release.since(1, 4, 2):
            metadata = {name: value for name, value in metadata.items() if value}
        return known(release, "metadata", metadata)

    def citations(self) -> list[JsonObject]:
        """Return the citations of the run."""
        found = self.service.knowledge.citations(self.run.generation.reply.hits, "workflow")
        return [known(self.service.release, "citation", citation) for citation in found]

    def retrieved(self) -> list[JsonObject]:
        """Return the output of the knowledge retrieval node."""
        found = self.service.knowledge.citations(self.run.generation.reply.hits, "workflow")
        return [_retrieved(resource) for resource in found]

    def speech_before_the_end(self) -> list[JsonObject]:
        """Return the events that read the answer aloud while the run goes on.

        Where a worker makes the run, the stream ends with it and the rest of the speech is lost;
        since 1.16.1 all of it is.
        """
        if not self._spoken or self.service.release.since(1, 16, 1):
            return []
        answer = self.run.generation.answer
        return speech.speech_before_the_end(self.envelope("tts_message"), answer)

    def speech_after_the_end(self) -> list[JsonObject]:
        """Return the events that read the answer aloud when the run has ended."""
        if not self._spoken or self.service.release.resumable:
            return []
        answer = self.run.generation.answer
        return speech.speech_after_the_end(self.envelope("tts_message"), answer)

    @property
    def _spoken(self) -> bool:
        return self.service.auto_tts or self.run.generation.reply.speech

    def snapshot(self) -> list[JsonObject]:
        """Return the events that tell a new watcher where the run is."""
        events = [self.started("initial")]
        if self.run.chatflow:
            answer = self.run.generation.answer
            events.append({**self.envelope("message_replace"), "answer": answer, "reason": ""})
        for index, node in enumerate(self.run.nodes, start=1):
            events.extend(self.node(name, data) for name, data in node.snapshot(index))
        waits = self.run.status == "paused" or self.run.is_resuming
        return [*events, *self.pause()] if waits else events


def _retrieved(resource: JsonObject) -> JsonObject:
    metadata = {
        "_source": "knowledge",
        **{key: resource[key] for key in _RETRIEVED},
        "child_chunks": [],
        "segment_hit_count": resource["hit_count"],
        "segment_word_count": resource["word_count"],
        "segment_position": resource["segment_position"],
        "segment_index_node_hash": resource["index_node_hash"],
        "doc_metadata": None,
        "position": resource["position"],
    }
    return {
        "metadata": metadata,
        "title": resource["document_name"],
        "files": None,
        "content": resource["content"],
        "summary": None,
    }


def refused_run(app_workflow_id: str, message: str) -> tuple[JsonObject, JsonObject]:
    """Return the two events with which 1.16 refuses a stream that has begun already."""
    run_id = new_id()
    common = {"id": run_id, "workflow_id": app_workflow_id, "created_at": now()}
    started = {**common, "inputs": {}, "reason": "initial"}
    finished = {
        **common,
        "status": "failed",
        "outputs": None,
        "error": message,
        "elapsed_time": 0.0,
        "total_tokens": 0,
        "total_steps": 0,
        "created_by": {},
        "finished_at": now(),
        "exceptions_count": 1,
        "files": [],
    }
    ids = {"task_id": run_id, "workflow_run_id": run_id}
    return (
        {"event": "workflow_started", **ids, "data": started},
        {"event": "workflow_finished", **ids, "data": finished},
    )
