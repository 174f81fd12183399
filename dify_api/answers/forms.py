"""The forms that a paused run waits for: what they ask, and the check of what is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from dify_api.models import Items, Model, Timestamp

_ACTION = "action"
_OTHER_ACTION = "__action_id"  # as the outputs of a human input node call it


class FormInputDefault(Model):
    """Where the default of a paragraph comes from."""

    type: str | None = None
    """constant or variable."""
    selector: Items[str] = []
    value: str | None = None


class FormOptions(Model):
    """Where the options of a select come from."""

    type: str | None = None
    """constant or variable."""
    selector: Items[str] = []
    value: Items[str] = []


class FormInput(Model):
    """One input of a form. Servers want a value for each."""

    type: str = "paragraph"
    """paragraph, select, file or file-list."""
    output_variable_name: str = ""
    """Its key in the `inputs` of `human_input.submit`."""
    default: FormInputDefault | None = None
    option_source: FormOptions | None = None
    allowed_file_types: Items[str] = []
    allowed_file_extensions: Items[str] = []
    allowed_file_upload_methods: Items[str] = []
    number_limits: int | None = None
    """Files of a file-list at most."""

    @property
    def options(self) -> list[str]:
        """The options of a select; empty where they are not told."""
        return self.option_source.value if self.option_source else []


class UserAction(Model):
    """A button of a form."""

    id: str = ""
    title: str = ""
    button_style: str | None = None


class Form(Model):
    """A form to fill.

    It is answered by one flat mapping: a value for each input by its `output_variable_name`, and
    the id of the button that is chosen under "action" ("__action_id" where an input is called so).

    Example:
        >>> form.check({"comment": "Fine", "risk": "low", "action": "approve"})
        ({'comment': 'Fine', 'risk': 'low'}, 'approve')
    """

    form_content: str = ""
    """Markdown in which "{{#$output.NAME#}}" marks the place of an item."""
    inputs: Items[FormInput] = []
    user_actions: Items[UserAction] = Field(
        default=[], validation_alias=AliasChoices("user_actions", "actions")
    )
    """The buttons; `actions` is the same."""
    resolved_default_values: dict[str, Any] = {}
    """What to show in inputs whose default is a variable's value."""
    expiration_time: Timestamp | None = None

    @property
    def actions(self) -> list[UserAction]:
        """The buttons, by their name in events."""
        return self.user_actions

    @property
    def action_key(self) -> str:
        """The key of the chosen button among the values: "action"; "__action_id" if taken."""
        taken = any(item.output_variable_name == _ACTION for item in self.inputs)
        return _OTHER_ACTION if taken else _ACTION

    def default_of(self, item: FormInput) -> str | None:
        """What an input shows before it is filled; None where that is nothing."""
        resolved = self.resolved_default_values.get(item.output_variable_name)
        constant = item.default.value if item.default else None
        default = constant if resolved is None else str(resolved)
        return default or None

    def response_schema(self) -> dict[str, Any]:
        """The JSON schema of the values that fill the form.

        Example:
            >>> form.response_schema()["properties"]["action"]["enum"]
            ['approve', 'reject']
        """
        properties = {
            item.output_variable_name: self._described(item, _input_schema(item))
            for item in self.inputs
        }
        properties[self.action_key] = {
            "type": "string",
            "title": "Action",
            "enum": [action.id for action in self.user_actions],
            "oneOf": [
                {"const": action.id, "title": action.title or action.id}
                for action in self.user_actions
            ],
        }
        return {
            "type": "object",
            "description": self.form_content,
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def _described(self, item: FormInput, schema: dict[str, Any]) -> dict[str, Any]:
        default = self.default_of(item)
        named = {"title": item.output_variable_name, **schema}
        return named if default is None else {**named, "default": default}

    def check(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Check what the form is filled with, as servers do, and before they do.

        Args:
            values: The values by the names of the inputs, and the chosen action.

        Returns:
            `inputs` and `action` of `human_input.submit`.

        Raises:
            ValueError: If a value is missing, unknown or not what its input takes; the message
                names the input and says what it may be.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"the form is filled with a mapping, not {type(values).__name__}")
        known = {item.output_variable_name: item for item in self.inputs}
        unknown = [str(name) for name in values if name not in {*known, self.action_key}]
        if unknown:
            raise ValueError(
                f"the form has no input {', '.join(unknown)}: it has "
                f"{', '.join([*known, self.action_key])}"
            )
        for name, item in known.items():
            if name not in values:
                raise ValueError(f"{name} is missing: it takes {self._takes(item)}")
            if not _fits(item, values[name]):
                raise ValueError(f"{name} takes {self._takes(item)}, not {values[name]!r}")
        actions = [action.id for action in self.user_actions]
        action = values.get(self.action_key)
        if action not in actions:
            given = "is missing" if action is None else f"is {action!r}"
            raise ValueError(f"{self.action_key} {given}: choose one of {', '.join(actions)}")
        return {name: values[name] for name in known}, str(action)

    def _takes(self, item: FormInput) -> str:
        default = self.default_of(item)
        shown = f" (its default is {default!r})" if default else ""
        if item.type == "select" and item.options:
            return f"one of {', '.join(item.options)}{shown}"
        if item.type == "file":
            return f"a file reference, as files.reference(...) makes it{_limits(item)}"
        if item.type == "file-list":
            return f"a list of file references, as files.reference(...) makes them{_limits(item)}"
        return f"a text{shown}"


def _limits(item: FormInput) -> str:
    limits = [
        *([f"of type {' or '.join(item.allowed_file_types)}"] if item.allowed_file_types else []),
        *(
            [f"by {' or '.join(item.allowed_file_upload_methods)}"]
            if item.allowed_file_upload_methods
            else []
        ),
        *([f"at most {item.number_limits}"] if item.number_limits else []),
    ]
    return f" ({', '.join(limits)})" if limits else ""


def _input_schema(item: FormInput) -> dict[str, Any]:
    if item.type == "select" and item.options:
        return {"type": "string", "enum": list(item.options)}
    if item.type == "file":
        return _file_schema(item)
    if item.type == "file-list":
        limit = {"maxItems": item.number_limits} if item.number_limits else {}
        return {"type": "array", "items": _file_schema(item), **limit}
    return {"type": "string"}


def _file_schema(item: FormInput) -> dict[str, Any]:
    types: dict[str, Any] = {"type": "string"}
    if item.allowed_file_types:
        types["enum"] = list(item.allowed_file_types)
    methods = list(item.allowed_file_upload_methods) or ["remote_url", "local_file"]
    return {
        "type": "object",
        "properties": {
            "type": types,
            "transfer_method": {"type": "string", "enum": methods},
            "url": {"type": "string", "description": "of a remote_url"},
            "upload_file_id": {"type": "string", "description": "of a local_file: an upload's id"},
        },
        "required": ["type", "transfer_method"],
    }


def _fits(item: FormInput, value: object) -> bool:
    if item.type == "file":
        return _is_file(item, value)
    if item.type == "file-list":
        return (
            isinstance(value, list | tuple)
            and all(_is_file(item, file) for file in value)
            and len(value) <= (item.number_limits or len(value))
        )
    if not isinstance(value, str):
        return False
    return item.type != "select" or not item.options or value in item.options


def _is_file(item: FormInput, value: object) -> bool:
    """Whether it is a file reference that the input takes, as far as one can tell from it."""
    if not isinstance(value, Mapping):
        return False
    method = str(value.get("transfer_method"))
    place = {"remote_url": "url", "local_file": "upload_file_id"}.get(method)
    types, methods = item.allowed_file_types, item.allowed_file_upload_methods
    if place is None or not value.get(place):
        return False
    return (not types or value.get("type") in types) and (not methods or method in methods)


class HumanInputForm(Form):
    """A form that a paused run waits for (`data` of `human_input_required`)."""

    form_id: str | None = None
    form_token: str | None = None
    """Key of the form endpoints; null when the form went out by e-mail."""
    node_id: str | None = None
    node_title: str | None = None
    display_in_ui: bool | None = None
