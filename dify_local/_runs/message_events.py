"""The event streams of completion, chat and agent-chat apps, and of New Agent apps.

Dify calls the first three the easy UI apps: their generation lives and dies with the connection.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from dify_local._answers.reply import Attachment, Failure, Pause, Replacement, Thought, ToolCall
from dify_local._protocol.events import PING
from dify_local._protocol.fields import known
from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject, compact_json, new_id
from dify_local._runs import speech
from dify_local._runs.generation import Generation, GenerationFailed, GenerationStopped
from dify_local._runs.human_input import HumanInputForm
from dify_local._storage.files import Uploads
from dify_local._storage.knowledge import Knowledge


@dataclass
class MessageEvents:
    """The events of one generation; after them, what was said.

    Attributes:
        generation: What is being answered.
        knowledge: For citations.
        uploads: Where files of the answer go.
        release: The release whose shapes are shown.
        auto_play: Whether the answer is read aloud.
        failure: How it failed, if it did.
        asks: Whether the turn ends with a form, as New Agents do since 1.17: no run waits for it.
        thoughts: The thoughts of an agent, as `/messages` shows them.
        message_files: Files of the answer, as `/messages` shows them.
    """

    generation: Generation
    knowledge: Knowledge
    uploads: Uploads
    release: Release
    auto_play: bool = False
    failure: Failure | None = None
    asks: bool = False
    thoughts: list[JsonObject] = field(default_factory=list)
    message_files: list[JsonObject] = field(default_factory=list)

    async def events(self) -> AsyncGenerator[JsonObject, None]:
        """Yield the events in the order of the wire."""
        generation = self.generation
        try:
            async for event in self._body():
                yield event
        except GenerationStopped:
            pass
        except GenerationFailed as failed:
            self.failure = failed.failure
            yield self.error_event(failed.failure)
            return
        spoken = self.auto_play or generation.reply.speech
        early = spoken and not self.release.since(1, 16, 1)
        envelope = self.envelope("tts_message")
        if early:
            for event in speech.speech_before_the_end(envelope, generation.answer):
                yield event
        yield self.message_end()
        if spoken:
            for event in speech.speech_after_the_end(envelope, generation.answer, whole=not early):
                yield event

    async def _body(self) -> AsyncGenerator[JsonObject, None]:
        mode = self.generation.app.mode
        if self.generation.reply.preset:
            async for event in self._text("message"):
                yield event
        elif mode == "agent-chat":
            async for event in self._agent():
                yield event
        elif mode == "agent":
            async for event in self._new_agent():
                yield event
        else:
            async for event in self._text(self._delta()):
                yield event

    def _delta(self) -> str:
        # From 1.11.2 to 1.12 every delta is named so, once the question has brought a file.
        affected = self.release.since(1, 11, 2) and not self.release.since(1, 13)
        mislabelled = self.generation.files and affected
        return "message_file" if mislabelled else "message"

    async def _text(self, name: str) -> AsyncGenerator[JsonObject, None]:
        event = {**self.envelope(name), "id": self.generation.message_id, "answer": ""}
        if name != "agent_message":
            event["from_variable_selector"] = [] if self.release.since(1, 16) else None
        separated = self.generation.app.mode == "agent"
        async for step in self.generation.play(separate_thoughts=separated):
            if isinstance(step, str):
                yield {**event, "answer": step}
            elif step is PING:
                yield PING
            elif isinstance(step, Thought):
                yield self._thought_of(step)
            elif isinstance(step, Replacement):
                self.generation.replace(step.text)
                replaced = {"answer": step.text, "reason": "output_moderation"}
                shown = known(self.release, "replacement", replaced)
                yield {**self.envelope("message_replace"), **shown}
            elif isinstance(step, Attachment):
                yield self._attach(step)
            elif isinstance(step, Pause):
                self.asks = separated and self.release.since(1, 17)
        if not self.generation.answer and self.generation.app.mode != "agent":
            yield {**event, "answer": ""}

    def _thought_of(self, step: Thought) -> JsonObject:
        """Return the event that repeats what a New Agent has thought, with a piece more."""
        thinking = self.thoughts and self.thoughts[-1]["thought"]
        thought = self.thoughts[-1] if thinking else self._think()
        thought["thought"] += step.text
        return self._thought_event(thought)

    async def _agent(self) -> AsyncGenerator[JsonObject, None]:
        for call in self.generation.reply.tool_calls:
            thought = self._think()
            yield self._thought_event(thought)
            said = "Let me check. "
            self.generation.parts.append(said)
            for piece in ("Let me ", "check. "):
                yield self._agent_message(piece)
            thought["thought"] = thought["answer"] = said
            self._use(thought, call, tool_input={call.tool: call.tool_input})
            yield self._thought_event(thought)
            thought["observation"] = compact_json({call.tool: call.observation})
            yield self._thought_event(thought)
        before = len(self.generation.parts)
        async for event in self._thinking("agent_message"):
            yield event
        thought = self.thoughts[-1]
        thought["thought"] = thought["answer"] = "".join(self.generation.parts[before:])
        yield self._thought_event(thought)

    async def _thinking(self, name: str) -> AsyncGenerator[JsonObject, None]:
        """Yield the text of an agent, and before it the thought that it belongs to.

        A model that fails at once has not thought.
        """
        thought = None
        async for event in self._text(name):
            if thought is None and event.get("event") == name:
                thought = self._think()
                yield self._thought_event(thought)
            yield event

    async def _new_agent(self) -> AsyncGenerator[JsonObject, None]:
        for call in self.generation.reply.tool_calls:
            thought = self._think()
            yield self._thought_event(thought)
            thought["answer"] = "Let me check. "
            yield self._agent_message("Let me check. ")
            used = self._think()
            self._use(used, call, tool_input=call.tool_input)
            yield self._thought_event(used)
            yield self._thought_event(used)
            used["observation"] = call.observation
            yield self._thought_event(used)
        async for event in self._thinking("agent_message"):
            yield event
        if not self.generation.answer:
            return
        self.thoughts[-1]["answer"] = self.generation.answer
        # The closing message sets the answer; the deltas before it were a preview.
        yield {
            **self.envelope("message"),
            "id": self.generation.message_id,
            "answer": self.generation.answer,
            "from_variable_selector": [],
        }
        if self.asks:
            form = HumanInputForm(self.generation.answer, "ask_human", "ask_human")
            data = form.required(approval_channels=True)
            yield {**self.envelope("human_input_required"), "data": data}

    def _agent_message(self, text: str) -> JsonObject:
        return {
            **self.envelope("agent_message"),
            "id": self.generation.message_id,
            "answer": text,
        }

    def _think(self) -> JsonObject:
        thought: JsonObject = {
            "id": new_id(),
            "chain_id": None,
            "message_id": self.generation.message_id,
            "position": len(self.thoughts) + 1,
            "thought": "",
            "answer": "",
            "tool": "",
            "tool_labels": {},
            "tool_input": "",
            "created_at": self.generation.created_at,
            "observation": "",
            "files": [],
            "message_files": [],
        }
        self.thoughts.append(thought)
        return thought

    @staticmethod
    def _use(thought: JsonObject, call: ToolCall, *, tool_input: JsonObject) -> None:
        label = "Calculator" if call.tool == "calculator" else call.tool
        thought["tool"] = call.tool
        thought["tool_labels"] = {call.tool: {"en_US": label, "zh_Hans": label}}
        thought["tool_input"] = compact_json(tool_input)

    def _thought_event(self, thought: JsonObject) -> JsonObject:
        shown = ("id", "position", "thought", "observation", "tool", "tool_labels", "tool_input")
        return {
            **self.envelope("agent_thought"),
            **{key: thought[key] for key in shown},
            "message_files": list(thought["files"]),
        }

    def _attach(self, attachment: Attachment) -> JsonObject:
        made = self.uploads.make(
            self.generation.app.id,
            self.generation.end_user,
            attachment.name,
            attachment.mime_type,
            attachment.content,
        )
        self.message_files.append(made)
        return {
            **self.envelope("message_file"),
            "id": made["id"],
            "type": made["type"],
            "belongs_to": "assistant",
            "url": made["url"],
        }

    def envelope(self, event: str) -> JsonObject:
        """Return the keys that every event of this generation has."""
        generation = self.generation
        envelope: JsonObject = {"event": event}
        if generation.conversation_id:
            envelope["conversation_id"] = generation.conversation_id
        envelope["message_id"] = generation.message_id
        envelope["created_at"] = generation.created_at
        envelope["task_id"] = generation.task_id
        return envelope

    def citations(self) -> list[JsonObject]:
        """Return the citations of the answer."""
        found = self.knowledge.citations(self.generation.reply.hits)
        shown = [known(self.release, "citation", citation) for citation in found]
        return shown if self.release.since(1, 4, 2) else list(map(_without_nulls, shown))

    def metadata(self, *, sparse: bool) -> JsonObject:
        """Return the metadata of the answer.

        Args:
            sparse: Leave nulls out, as streams of these apps do since 1.16.
        """
        usage = known(self.release, "usage", self.generation.usage())
        if sparse and self.release.since(1, 16, 1):
            usage.update(time_to_first_token=None, time_to_generate=None)
        metadata: JsonObject = {
            "annotation_reply": self.generation.reply.annotation,
            "retriever_resources": self.citations(),
            "usage": usage,
            "reasoning": {},
        }
        metadata = known(self.release, "metadata", metadata)
        if not self.release.since(1, 4, 2):
            return {name: value for name, value in metadata.items() if value}
        if not sparse or not self.release.since(1, 16):
            return metadata
        metadata["retriever_resources"] = [
            _without_nulls(resource) for resource in metadata["retriever_resources"]
        ]
        metadata["usage"] = _without_nulls(metadata["usage"])
        return _without_nulls(metadata)

    def message_end(self) -> JsonObject:
        """Return the `message_end` event."""
        files = [*self.generation.files, *map(self.uploads.file_of_answer, self.message_files)]
        return {
            **self.envelope("message_end"),
            "id": self.generation.message_id,
            "metadata": self.metadata(sparse=True),
            "files": files if self.release.since(1, 14) else None,
        }

    def error_event(self, failure: Failure) -> JsonObject:
        """Return the `error` event; it has no task id."""
        event = self.envelope("error")
        del event["task_id"]
        code, status = failure.code, failure.status
        if not self.release.since(1, 16):
            code, status = "completion_request_error", 400
        event.update(code=code, status=status, message=failure.message)
        return event

    def blocking(self) -> JsonObject:
        """Return the whole answer as a blocking request gets it."""
        generation = self.generation
        answer: JsonObject = {
            "event": "message",
            "task_id": generation.task_id,
            "id": generation.message_id,
            "message_id": generation.message_id,
        }
        if generation.conversation_id:
            answer["conversation_id"] = generation.conversation_id
        answer["mode"] = generation.app.mode
        answer["answer"] = generation.answer
        answer["metadata"] = self.metadata(sparse=False)
        answer["created_at"] = generation.created_at
        return answer


def _without_nulls(value: JsonObject) -> JsonObject:
    return {key: item for key, item in value.items() if item is not None}
