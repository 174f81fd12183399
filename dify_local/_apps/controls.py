"""The fields of an app's input form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dify_local._protocol.values import JsonObject

CONTROL_TYPES = (
    "text-input",
    "paragraph",
    "select",
    "number",
    "checkbox",
    "json_object",
    "file",
    "file-list",
)
FILE_TYPES = ("image", "document", "audio", "video")
UPLOAD_METHODS = ("local_file", "remote_url")


@dataclass(frozen=True)
class Control:
    """One field of an app's input form.

    Args:
        type: Kind of control: `text-input`, `paragraph`, `select`, `number`, `checkbox`,
            `json_object`, `file` or `file-list`.
        variable: Name in `inputs`.
        label: What a person reads; the name when left out.
        required: Whether `inputs` must have it.
        options: The choices of a `select`.
        max_length: Longest text, or most files.
        default: Used when the input is missing.

    Raises:
        ValueError: There is no such type, or a select has no options.
    """

    type: str
    variable: str
    label: str = ""
    required: bool = False
    options: Sequence[str] = ()
    max_length: int = 48
    default: str | float | bool | None = None

    def __post_init__(self) -> None:
        if self.type not in CONTROL_TYPES:
            known = ", ".join(CONTROL_TYPES)
            raise ValueError(f"Input {self.variable!r} has no type {self.type!r}; {known}")
        if self.type == "select" and not self.options:
            raise ValueError(f"Input {self.variable!r}: a select needs options")
        object.__setattr__(self, "options", tuple(self.options))
        object.__setattr__(self, "label", self.label or self.variable)

    def entry(self, *, workflow: bool) -> JsonObject:
        """Return this control as `user_input_form` lists it.

        Args:
            workflow: Workflow apps list the whole variable of their start node.
        """
        value: JsonObject = {
            "variable": self.variable,
            "label": self.label,
            "required": self.required,
        }
        if self.type in {"text-input", "paragraph"} or workflow:
            value["max_length"] = self.max_length
        if self.type == "select" or workflow:
            value["options"] = list(self.options)
        if workflow:
            value["type"] = self.type
        if self.default is not None or not workflow:
            value["default"] = "" if self.default is None else self.default
        if self.type in {"file", "file-list"}:
            value["allowed_file_types"] = list(FILE_TYPES)
            value["allowed_file_extensions"] = []
            value["allowed_file_upload_methods"] = list(UPLOAD_METHODS)
        return {self.type: value}
