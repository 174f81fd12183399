"""Human input: the forms that a paused run waits for."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from dify_api.answers.forms import Form as Form
from dify_api.answers.forms import FormInput as FormInput
from dify_api.answers.forms import FormInputDefault as FormInputDefault
from dify_api.answers.forms import FormOptions as FormOptions
from dify_api.answers.forms import UserAction as UserAction
from dify_api.operation import Operation, path, require


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
