"""Checks `inputs` against the form of an app, as Dify does before a generation begins."""

from __future__ import annotations

from typing import Any

from dify_local._apps.app import App
from dify_local._apps.controls import Control
from dify_local._protocol.errors import invalid_param
from dify_local._protocol.values import JsonObject

_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


def checked_inputs(app: App, inputs: JsonObject) -> JsonObject:
    """Return the inputs an app will use: those of its form, with defaults; others are dropped.

    Raises:
        ApiError: A required input is missing, or a value does not fit its control.

    Example:
        >>> from dify_local._apps.ready_made import APPS
        >>> greeter = next(app for app in APPS if app.name == "greeter")
        >>> checked_inputs(greeter, {"name": "Ada", "tone": "warm", "unknown": 1})
        {'name': 'Ada', 'tone': 'warm', 'age': None, 'polite': False}
    """
    return {control.variable: _value(control, inputs.get(control.variable)) for control in app.form}


def _value(control: Control, value: object) -> Any:
    if value is None:
        if control.required:
            raise invalid_param(f"{control.variable} is required in input form")
        return control.default
    return _CHECKS[control.type](control, value)


def _text(control: Control, value: object) -> object:
    if not isinstance(value, str):
        raise invalid_param(
            f"(type '{control.type}') {control.variable} in input form must be a string"
        )
    if control.type != "select" and len(value) > control.max_length:
        raise invalid_param(
            f"{control.variable} in input form must be less than {control.max_length} characters"
        )
    return value


def _select(control: Control, value: object) -> object:
    _text(control, value)
    if value not in control.options:
        raise invalid_param(
            f"{control.variable} in input form must be one of the following: "
            f"{list(control.options)}"
        )
    return value


def _number(control: Control, value: object) -> object:
    if value == "":
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        number = float(str(value))
    except ValueError:
        raise invalid_param(f"{control.variable} in input form must be a valid number") from None
    return int(number) if number.is_integer() else number


def _checkbox(control: Control, value: object) -> object:
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise invalid_param(f"{control.variable} in input form must be a boolean")
    return text in _TRUE


def _json_object(control: Control, value: object) -> object:
    if not isinstance(value, dict):
        raise invalid_param(f"{control.variable} in input form must be a dict")
    return value


def _file(control: Control, value: object) -> object:
    if value == "" and not control.required:
        return None
    if not isinstance(value, dict):
        raise invalid_param(f"{control.variable} in input form must be a file")
    return value


def _file_list(control: Control, value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise invalid_param(f"{control.variable} in input form must be a list of files")
    if len(value) > control.max_length:
        raise invalid_param(
            f"{control.variable} in input form must be less than {control.max_length} files"
        )
    return value


_CHECKS = {
    "text-input": _text,
    "paragraph": _text,
    "select": _select,
    "number": _number,
    "checkbox": _checkbox,
    "json_object": _json_object,
    "file": _file,
    "file-list": _file_list,
}
