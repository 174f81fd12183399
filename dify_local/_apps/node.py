"""The nodes of an app's graph, as its maker draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dify_local._protocol.values import JsonObject

# Nodes whose text a model makes.
MODEL_TYPES = frozenset({"llm", "agent"})
END_TYPES = frozenset({"end", "answer"})


@dataclass(frozen=True)
class Node:
    """A node of a workflow or chatflow.

    Args:
        id: Its name in references such as `{{#llm.text#}}`.
        type: Dify's type: `start`, `llm`, `knowledge-retrieval`, `if-else`, `code`, `tool`,
            `human-input`, `answer`, `end` and so on.
        title: What a person reads; the id when left out.
        outputs: What it gives: a name and a value, or a text with references. The output `text` of
            an `llm` node that is left out is the app's answer.
        form: The form of a `human-input` node, as Dify's export has it: `form_content`, `inputs`,
            `user_actions`. A comment and the buttons Approve and Reject when left out.

    Raises:
        ValueError: Another type than `human-input` has a form.

    Example:
        >>> Node("classify", "question-classifier", outputs={"class_name": "refund"}).title
        'classify'
    """

    id: str
    type: str
    title: str = ""
    outputs: Mapping[str, object] = field(default_factory=dict, hash=False)
    form: JsonObject | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if self.form is not None and self.type != "human-input":
            raise ValueError(f"Node {self.id!r}: only human-input nodes have a form")
        object.__setattr__(self, "title", self.title or self.id)
