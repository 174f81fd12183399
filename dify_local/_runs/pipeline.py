"""A draft run of a knowledge pipeline: file, extractor, model that cuts, index; nothing is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dify_local._protocol.values import JsonObject, new_id, now, stable_id
from dify_local._runs.usage import count_tokens, usage
from dify_local._storage.knowledge.records import ACCOUNT_ID, ACCOUNT_NAME, Dataset

_ICON = "https://assets.dify.ai/images/File%20Upload.svg"
_MODEL = {"model_provider": "langgenius/openai/openai", "model_name": "gpt-4o-mini"}


@dataclass(frozen=True)
class PipelineRun:
    """One draft run over one file.

    Attributes:
        dataset: The dataset of the pipeline.
        inputs: The values of its form.
        info: What the request says about the file.
        text: The text of the file.
        chunks: What the text was cut into.
        url: A signed address of the file.
    """

    dataset: Dataset
    inputs: JsonObject
    info: JsonObject
    text: str
    chunks: Sequence[str]
    url: str
    id: str = field(default_factory=new_id)
    task_id: str = field(default_factory=new_id)
    started: float = field(default_factory=time.time)

    @property
    def _workflow_id(self) -> str:
        return stable_id("pipeline-workflow", self.dataset.id)

    def events(self) -> list[JsonObject]:
        """Return the events of the run in order."""
        events = [self._event("workflow_started", self._started())]
        for node in self._nodes():
            common = {key: node[key] for key in ("id", "node_id", "node_type", "title", "index")}
            extras = {"icon": _ICON} if node["node_type"] == "datasource" else {}
            start = {
                **common,
                "predecessor_node_id": None,
                "inputs": None,
                "inputs_truncated": False,
                "created_at": int(self.started),
                "extras": extras,
                "iteration_id": None,
                "loop_id": None,
                "agent_strategy": None,
            }
            events += [self._event("node_started", start), self._event("node_finished", node)]
        created_by = {"id": ACCOUNT_ID, "name": ACCOUNT_NAME, "email": "admin@example.com"}
        finished = {
            **self._result(),
            "created_by": created_by,
            "exceptions_count": 0,
            "files": [],
        }
        return [*events, self._event("workflow_finished", finished)]

    def blocking(self) -> JsonObject:
        """Return what a blocking run answers."""
        return {"task_id": self.task_id, "workflow_run_id": self.id, "data": self._result()}

    def _event(self, name: str, data: JsonObject) -> JsonObject:
        return {"event": name, "workflow_run_id": self.id, "task_id": self.task_id, "data": data}

    def _started(self) -> JsonObject:
        return {
            "id": self.id,
            "workflow_id": self._workflow_id,
            "inputs": {
                **self.inputs,
                "sys.files": [],
                "sys.user_id": ACCOUNT_ID,
                "sys.app_id": self.dataset.pipeline_id,
                "sys.workflow_id": self._workflow_id,
                "sys.workflow_run_id": self.id,
            },
            "created_at": int(self.started),
            "reason": "initial",
        }

    def _result(self) -> JsonObject:
        return {
            "id": self.id,
            "workflow_id": self._workflow_id,
            "status": "succeeded",
            "outputs": self._index(),
            "error": None,
            "elapsed_time": round(time.time() - self.started, 6),
            "total_tokens": self._usage()["total_tokens"],
            "total_steps": 4,
            "created_at": int(self.started),
            "finished_at": now(),
        }

    def _usage(self) -> JsonObject:
        return usage(count_tokens(self.text), len(self.chunks), latency=0.0)

    def _index(self) -> JsonObject:
        return {
            "chunk_structure": "text_model",
            "preview": [{"content": chunk} for chunk in self.chunks],
            "qa_preview": [],
            "total_segments": len(self.chunks),
        }

    def _file(self) -> JsonObject:
        reference = self.info.get("reference")
        return {
            "dify_model_identity": "__dify__file__",
            "extension": f".{self.info.get('extension', '')}",
            "filename": self.info.get("name"),
            "id": reference,
            "mime_type": self.info.get("mime_type"),
            "reference": f"dify-file-ref:{reference}",
            "related_id": reference,
            "remote_url": "",
            "size": self.info.get("size"),
            "transfer_method": "local_file",
            "type": "custom",
            "url": self.url,
        }

    def _nodes(self) -> list[JsonObject]:
        file, used = self._file(), self._usage()
        info = {**self.info, "icon": _ICON}
        structured = {"general_chunks": list(self.chunks)}
        prompt = {"files": [], "role": "user", "text": f"general_chunks of {self.text}"}
        cut = {
            "text": json.dumps(structured),
            "reasoning_content": "",
            "usage": used,
            "finish_reason": "stop",
            "structured_output": structured,
        }
        thinking = {
            "model_mode": "chat",
            "prompts": [prompt],
            "usage": used,
            "finish_reason": "stop",
            **_MODEL,
        }
        spent = {key: used[key] for key in ("total_tokens", "total_price", "currency")}
        return [
            _node("file", "datasource", "File", info, {},
                  {"file": file, "datasource_type": "local_file"},
                  {"datasource_info": info}, [file]),
            _node("extract", "document-extractor", "Doc Extractor",
                  {"variable_selector": ["file", "file"]}, {"documents": [file]},
                  {"text": self.text}, None, []),
            _node("llm", "llm", "Chunk", _MODEL, thinking, cut, spent, []),
            _node("index", "knowledge-index", "Knowledge Base", {"chunks": list(self.chunks)}, {},
                  self._index(), None, []),
        ]  # fmt: skip


def _node(
    node_id: str,
    node_type: str,
    title: str,
    inputs: JsonObject,
    process_data: JsonObject,
    outputs: JsonObject,
    execution_metadata: JsonObject | None,
    files: list[JsonObject],
) -> JsonObject:
    return {
        "id": new_id(),
        "node_id": node_id,
        "node_type": node_type,
        "title": title,
        "index": 1,
        "predecessor_node_id": None,
        "inputs": inputs,
        "inputs_truncated": False,
        "process_data": process_data,
        "process_data_truncated": False,
        "outputs": outputs,
        "outputs_truncated": False,
        "status": "succeeded",
        "error": None,
        "elapsed_time": 0.0,
        "execution_metadata": execution_metadata,
        "created_at": now(),
        "finished_at": now(),
        "files": files,
        "iteration_id": None,
        "loop_id": None,
    }
