"""The graph of an app of one's own: its nodes, one after the other.

What the model says is shown while it is written, if the answer node or the outputs refer to it. The
model says what the app is asked to answer; a model node after a form, how that was filled in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field

from dify_local._answers.reply import Pause, play, tokens
from dify_local._apps.app import App
from dify_local._apps.node import END_TYPES, MODEL_TYPES, Node
from dify_local._apps.references import references, rendered, resolve, text_before
from dify_local._protocol.values import JsonObject
from dify_local._runs.generation import GenerationFailed, GenerationStopped
from dify_local._runs.graph import Graph
from dify_local._runs.human_input import HumanInputForm

_TEXTS = frozenset({"message", "text_chunk"})


@dataclass
class OwnGraph(Graph):
    """Executes one run of an app that has nodes, or outputs, of its own."""

    nodes: list[Node] = field(init=False)
    # Of a chatflow, the text of its answer node.
    answer: str = field(init=False, default="")
    outputs: dict[str, object] = field(init=False, default_factory=dict)
    # The model nodes that say what the app is asked to answer.
    answering: set[str] = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        app = self.generation.app
        self.nodes = _complete(app)
        models = [node for node in self.nodes if node.type in MODEL_TYPES]
        text = f"{{{{#{models[-1].id}.text#}}}}" if models else ""
        if self.run.chatflow:
            self.answer = text if app.answer is None else app.answer
        else:
            self.outputs = {"text": text} if app.outputs is None else dict(app.outputs)
        self.answering = set(_answering(self.nodes, self._shown()))
        if app.nodes and all(node.type != "knowledge-retrieval" for node in app.nodes):
            self.generation.reply.hits = []

    def _shown(self) -> set[str]:
        texts = [self.answer, *self.outputs.values()]
        return {node_id for text in texts for node_id, name in references(text) if name == "text"}

    async def from_start(self) -> AsyncGenerator[JsonObject, None]:
        """Run from the start to the end, or to the first person in between."""
        run = self.run
        run.values["start"] = self.generation.inputs
        run.values["sys"] = {
            name.removeprefix("sys."): value
            for name, value in run.variables.items()
            if name.startswith("sys.")
        }
        run.values["sys"].setdefault("query", self.generation.query)
        yield self.events.started("initial")
        async for event in self._play(0):
            yield event

    async def from_form(self) -> AsyncGenerator[JsonObject, None]:
        """Run on from the form that has been filled in."""
        form = self.run.form
        if form is not None:
            self.run.values[form.node_id] = form.outputs()
        async for event in super().from_form():
            yield event

    async def from_expired_form(self) -> AsyncGenerator[JsonObject, None]:
        """Run on without the form, which nobody has filled in in time."""
        form = self.run.form
        if form is not None:
            self.run.values[form.node_id] = {"__action_id": "", "__action_value": ""}
        async for event in super().from_expired_form():
            yield event

    def _after_form(self, title: str) -> AsyncGenerator[JsonObject, None]:
        return self._play(self.run.position + 1)

    async def _play(self, first: int) -> AsyncGenerator[JsonObject, None]:
        ending: Sequence[JsonObject] | None = None
        try:
            for position, node in enumerate(self.nodes[first:], first):
                self.run.position = position
                if node.type == "human-input" and self.service.release.resumable:
                    ending = self._paused(Pause(), self._form(node))
                    break
                async for event in self._node(node):
                    yield event
                if self.pause:
                    ending = self._paused(self.pause)
                    break
        except GenerationStopped as stopped:
            ending = self._stopped(str(stopped))
        except GenerationFailed as failed:
            ending = self._failed(self.run.nodes[-1], failed.failure)
        for event in self._succeeded() if ending is None else ending:
            yield event

    async def _node(self, node: Node) -> AsyncGenerator[JsonObject, None]:
        values = self.run.values
        if node.id in self.answering or (node.type in MODEL_TYPES and self._lead(node) is not None):
            async for event in self._spoken(node):
                yield event
        elif node.type in END_TYPES and node is self.nodes[-1]:
            for event in self._rest():
                yield event
        else:
            values[node.id] = self._given(node)
            inputs = self.generation.inputs if node.type == "start" else None
            for event in self.events.instant_node(
                node.id, node.type, node.title, inputs=inputs, outputs=values[node.id]
            ):
                yield event

    def _given(self, node: Node) -> JsonObject:
        given = {name: resolve(value, self.run.values) for name, value in node.outputs.items()}
        if node.type == "start":
            return {**self.generation.inputs, **given}
        if node.type == "knowledge-retrieval":
            return {"result": self.events.retrieved(), **given}
        if node.type in MODEL_TYPES:
            return {"text": self.generation.query, **given}
        return given

    async def _spoken(self, definition: Node) -> AsyncGenerator[JsonObject, None]:
        """Run a model whose text takes its time, and may be seen while it is written."""
        generation, lead = self.generation, self._lead(definition)
        for event in self._static(lead or ""):
            yield event
        node = self.run.begin(definition.id, definition.type, definition.title)
        yield self.events.node("node_started", node.started())
        if "text" in definition.outputs:
            text = rendered(str(definition.outputs["text"]), self.run.values)
            generation.reply.steps = play(tokens(text))
        before = len(generation.parts)
        async for event in self._said(definition.id):
            if lead is not None or event["event"] not in _TEXTS:
                yield event
        text = "".join(generation.parts[before:])
        if lead is None:
            del generation.parts[before:]
        outputs = {**self._given(definition), "text": text}
        self.run.values[definition.id] = outputs
        yield self.events.node("node_finished", self._model_finished(node, text))

    def _lead(self, node: Node) -> str | None:
        """Return what stands before a node's text in the answer; None if it is not shown at once.

        In the answer of a chatflow, all before it must be known when the node begins.
        """
        if not self.run.chatflow:
            return "" if node.id in self._shown() else None
        before = text_before(self.answer, node.id, "text")
        if before is None or any(name not in self.run.values for name, _ in references(before)):
            return None
        return self._unsaid(rendered(before, self.run.values))

    def _unsaid(self, text: str) -> str | None:
        said = self.generation.answer
        return text[len(said) :] if text.startswith(said) else None

    def _static(self, text: str) -> Iterable[JsonObject]:
        if not text:
            return
        self.generation.parts.append(text)
        event = self.events.text(text, "answer")
        yield {**event, "from_variable_selector": [self.nodes[-1].id, "answer"]}

    def _rest(self) -> Iterable[JsonObject]:
        """Say what of the answer has not been said yet."""
        if self.run.chatflow:
            yield from self._static(self._unsaid(rendered(self.answer, self.run.values)) or "")

    def _form(self, node: Node) -> HumanInputForm:
        own = node.form
        if own is not None:
            content = rendered(str(own.get("form_content") or ""), self.run.values)
            own = {**own, "form_content": content}
        draft = self.generation.answer.strip()
        return HumanInputForm(draft, node.id, node.title, own=own)

    def _end_node(self) -> tuple[str, str, str]:
        end = self.nodes[-1]
        return end.id, end.type, end.title

    def _workflow_outputs(self) -> JsonObject:
        given = self.generation.reply.outputs
        if given is not None:
            return given
        return {name: resolve(value, self.run.values) for name, value in self.outputs.items()}


def _complete(app: App) -> list[Node]:
    """Return the nodes with those that every graph has, and the end last."""
    nodes = [node for node in app.nodes if node.type not in END_TYPES]
    ends = [node for node in app.nodes if node.type in END_TYPES]
    if not nodes or nodes[0].type != "start":
        nodes.insert(0, Node("start", "start", "Start"))
    said = app.answer if app.mode == "advanced-chat" else app.outputs
    if (said is None and all(node.type not in MODEL_TYPES for node in nodes)) or not app.nodes:
        nodes.append(Node("llm", "llm", "LLM"))
    end = ("answer", "answer", "Answer") if app.mode == "advanced-chat" else ("end", "end", "End")
    return [*nodes, *(ends or [Node(*end)])]


def _answering(nodes: Iterable[Node], shown: set[str]) -> Iterable[str]:
    """Return one model node between each two forms: the last that is shown, or else the last."""
    chosen: Node | None = None
    for node in nodes:
        if node.type == "human-input":
            if chosen:
                yield chosen.id
            chosen = None
        elif node.type in MODEL_TYPES and "text" not in node.outputs:
            chosen = node if node.id in shown or not (chosen and chosen.id in shown) else chosen
    if chosen:
        yield chosen.id
