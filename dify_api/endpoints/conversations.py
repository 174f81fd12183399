"""Conversations: list, name, delete them; a chatflow's conversation variables."""

from __future__ import annotations

import ast
import json
from types import NoneType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dify_api.endpoints.pages import Page
from dify_api.models import Model, Timestamp
from dify_api.operation import Operation, path, require, require_uuid, without_none

SortBy = Literal["created_at", "-created_at", "updated_at", "-updated_at"]


class Conversation(Model):
    """A conversation of an end user."""

    id: str = ""
    name: str = ""
    inputs: dict[str, Any] = {}
    status: str | None = None
    introduction: str | None = None
    """What the app said first, which history leaves out."""
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    """0.11.0 and later."""


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str) else json.dumps(value)


class ConversationVariable(Model):
    """A variable that a chatflow keeps for a conversation."""

    id: str = ""
    name: str = ""
    value_type: str | None = None
    """string, number, integer, boolean, object, secret, file, array[string], ..."""
    value: Annotated[str | None, BeforeValidator(_text)] = None
    """As servers send it: text, in which objects and lists are written as Python does."""
    description: str | None = None
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None

    @property
    def parsed_value(self) -> Any:
        """`value` read by its type: as JSON, else as a Python literal, else the text itself.

        Example:
            >>> ConversationVariable(value_type="object", value="{'moons': 146}").parsed_value
            {'moons': 146}
        """
        if self.value is None or self.value_type in ("string", "secret"):
            return self.value
        try:
            return json.loads(self.value)
        except ValueError:
            pass
        try:
            return ast.literal_eval(self.value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return self.value


def list_conversations(
    *,
    user: str,
    last_id: str | None = None,
    limit: int | None = None,
    sort_by: SortBy | None = None,
) -> Operation[Page[Conversation]]:
    """List a user's conversations (`GET /conversations`).

    Args:
        user: The end user.
        last_id: Id of the last conversation of the page before.
        limit: Conversations on a page, 1 to 100. Default: the server's, 20.
        sort_by: Default: the server's, "-updated_at" (0.7.2 and later).

    Raises:
        ValueError: If `user` is empty.

    Example:
        >>> [conversation.name for conversation in client.iterate(list_conversations(user="ann"))]
        ['Moons of Saturn', 'New conversation']
    """
    require(user, "user", "name the end user whose conversations these are")
    return Operation(
        "GET",
        "/conversations",
        Page[Conversation],
        query={"last_id": last_id, "limit": limit, "sort_by": sort_by},
        user=user,
        repeatable=True,
        page="last_id",
    )


def delete(conversation_id: str, *, user: str) -> Operation[None]:
    """Delete a conversation (`DELETE /conversations/{conversation_id}`; servers since 0.3.8).

    Servers 1.8.0 to 1.12.1 delete whatever id they are given, other users' too.

    Raises:
        ValueError: If `conversation_id` is no UUID, or `user` is empty.
    """
    return Operation(
        "DELETE",
        _path("/conversations/{}", conversation_id, user),
        NoneType,
        json={},
        user=user,
    )


def rename(
    conversation_id: str, name: str | None = None, *, user: str, auto_generate: bool = False
) -> Operation[Conversation]:
    """Name a conversation (`POST /conversations/{conversation_id}/name`).

    Args:
        conversation_id: The conversation.
        name: Its new name.
        user: The end user whose conversation it is.
        auto_generate: Let a model name it after its first message, instead of `name`.

    Raises:
        ValueError: If `conversation_id` is no UUID, `user` is empty, or there is neither a
            name nor `auto_generate`.
    """
    if not auto_generate:
        require(name or "", "name", "or set auto_generate")
    return Operation(
        "POST",
        _path("/conversations/{}/name", conversation_id, user),
        Conversation,
        json=without_none({"name": name, "auto_generate": auto_generate}),
        user=user,
        repeatable=not auto_generate,
    )


def variables(
    conversation_id: str,
    *,
    user: str,
    last_id: str | None = None,
    limit: int | None = None,
    variable_name: str | None = None,
) -> Operation[Page[ConversationVariable]]:
    """List the variables of a conversation (`GET /conversations/{conversation_id}/variables`).

    Servers since 1.3.1, chatflow apps.

    Args:
        conversation_id: The conversation.
        user: The end user whose conversation it is.
        last_id: Id of the last variable of the page before.
        limit: Variables on a page, 1 to 100. Default: the server's, 20.
        variable_name: Only those with this in their names (1.11.2 and later; servers on
            Postgres answer 500).

    Raises:
        ValueError: If `conversation_id` is no UUID, or `user` is empty.
    """
    return Operation(
        "GET",
        _path("/conversations/{}/variables", conversation_id, user),
        Page[ConversationVariable],
        query={"last_id": last_id, "limit": limit, "variable_name": variable_name},
        user=user,
        repeatable=True,
        page="last_id",
    )


def update_variable(
    conversation_id: str, variable_id: str, value: Any, *, user: str
) -> Operation[ConversationVariable]:
    """Set a variable (`PUT /conversations/{conversation_id}/variables/{variable_id}`).

    Servers since 1.7.2, chatflow apps.

    Args:
        conversation_id: The conversation.
        variable_id: The variable's id, from `variables`.
        value: Any JSON value of the variable's type.
        user: The end user whose conversation it is.

    Raises:
        ValueError: If an id is no UUID, or `user` is empty.
    """
    require_uuid(variable_id, "variable_id")
    return Operation(
        "PUT",
        _path("/conversations/{}/variables/{}", conversation_id, user, variable_id),
        ConversationVariable,
        json={"value": value},
        user=user,
        repeatable=True,
    )


def _path(template: str, conversation_id: str, user: str, *others: str) -> str:
    require_uuid(conversation_id, "conversation_id")
    require(user, "user", "name the end user whose conversation this is")
    return path(template, conversation_id, *others)
