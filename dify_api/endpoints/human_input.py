"""Human input: the forms that a paused run waits for."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from dify_api.models import Items, Model, Timestamp
from dify_api.operation import Operation, path, require


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
    """Its key in the `inputs` of `submit`."""
    default: FormInputDefault | None = None
    option_source: FormOptions | None = None
    allowed_file_types: Items[str] = []
    allowed_file_extensions: Items[str] = []
    allowed_file_upload_methods: Items[str] = []
    number_limits: int | None = None


class UserAction(Model):
    """A button of a form."""

    id: str = ""
    title: str = ""
    button_style: str | None = None


class Form(Model):
    """A form to fill."""

    form_content: str = ""
    """Markdown in which "{{#$output.NAME#}}" marks the place of an input."""
    inputs: Items[FormInput] = []
    resolved_default_values: dict[str, Any] = {}
    """What to show in inputs whose default is a variable's value."""
    user_actions: Items[UserAction] = []
    expiration_time: Timestamp | None = None


def form(form_token: str) -> Operation[Form]:
    """Look up a form (`GET /form/human_input/{form_token}`; servers since 1.13.0).

    Args:
        form_token: From the `forms` of a `WorkflowPausedError`, or from the `extra_contents`
            of the conversation's last message.

    Raises:
        ValueError: If `form_token` is empty: the form went out by e-mail.

    Example:
        >>> [action.title for action in client.send(form(paused.forms[0].form_token)).user_actions]
        ['Approve', 'Reject']
    """
    return Operation("GET", _path(form_token), Form, repeatable=True)


def submit(
    form_token: str, inputs: Mapping[str, Any], *, action: str, user: str
) -> Operation[None]:
    """Fill a form, so that its run goes on (`POST /form/human_input/{form_token}`).

    Servers since 1.13.0. It cannot be taken back. `workflows.events` then follows the run.

    Args:
        form_token: See `form`.
        inputs: A value for each input, by `output_variable_name`; files as
            `files.reference(...)` makes them.
        action: Id of the action that is chosen.
        user: The end user who fills it.

    Raises:
        ValueError: If `form_token`, `action` or `user` is empty.

    Example:
        >>> client.send(submit(paused.forms[0].form_token, {"comment": "Fine"},
        ...                    action="approve", user="ann"))
    """
    require(action, "action", "choose one of the form's user_actions by its id")
    require(user, "user", "name the end user who fills the form")
    body = {"inputs": dict(inputs), "action": action}
    return Operation("POST", _path(form_token), NoneType, json=body, user=user)


def _path(form_token: str) -> str:
    require(form_token, "form_token", "a form without one went out by e-mail")
    return path("/form/human_input/{}", form_token)
