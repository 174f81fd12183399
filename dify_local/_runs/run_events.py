"""The events of workflow and chatflow runs, field by field."""

from __future__ import annotations

from dataclasses import dataclass

from dify_local._answers.reply import Failure
from dify_local._protocol.values import JsonObject, new_id, now
from dify_local._runs.service import Service
from dify_local._runs.speech import speech_events
from dify_local._runs.workflow_run import WorkflowRun

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
            "inputs": self.run.variables,
            "created_at": now(),
        }
        if self.service.release.resumable:
            data["reason"] = reason
        return self.event("workflow_started", data)

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
        started = self.event("node_started", node.started())
        data = node.finished(inputs=inputs, outputs=outputs, process_data=process_data)
        return [started, self.event("node_finished", data)]

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

    def replacement(self, text: str) -> JsonObject:
        """Return the event by which moderation replaces the text so far."""
        if not self.run.chatflow:
            return {**self.envelope("text_replace"), "data": {"text": text}}
        replaced = {"answer": text, "reason": "output_moderation"}
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
        return self.event("workflow_finished", self.run.finished_data())

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
        metadata = {
            "annotation_reply": None,
            "retriever_resources": self.citations(),
            "usage": self.run.generation.usage(),
        }
        return {**metadata, "reasoning": {}} if self.service.release.since(1, 16) else metadata

    def citations(self) -> list[JsonObject]:
        """Return the citations of the run."""
        return self.service.knowledge.citations(self.run.generation.reply.hits, "workflow")

    def retrieved(self) -> list[JsonObject]:
        """Return the output of the knowledge retrieval node."""
        return [_retrieved(resource) for resource in self.citations()]

    def speech(self) -> list[JsonObject]:
        """Return the events that read the answer aloud, if it shall be read."""
        generation = self.run.generation
        if not (self.service.auto_tts or generation.reply.speech):
            return []
        return list(speech_events(self.envelope("tts_message"), generation.answer))

    def snapshot(self) -> list[JsonObject]:
        """Return the events that tell a new watcher where the run is."""
        events = [self.started("initial")]
        if self.run.chatflow:
            answer = self.run.generation.answer
            events.append({**self.envelope("message_replace"), "answer": answer, "reason": ""})
        for index, node in enumerate(self.run.nodes, start=1):
            events.extend(self.event(name, data) for name, data in node.snapshot(index))
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
