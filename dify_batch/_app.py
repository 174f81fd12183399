"""A row as a request to the app: its columns, its identity, its operation."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dify_api._calls.app_tool import AppMode, AppTool, describe_app
from dify_api._calls.input_form import explain
from dify_api._runs.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.endpoints import chat, completion, files, workflows
from dify_api.operation import Operation
from dify_batch._rows import Row
from dify_batch.options import Columns

LIVES_ON: frozenset[AppMode] = frozenset({"workflow", "advanced-chat"})
"""Modes whose runs go on when nobody reads them, and can be attached to again."""

_TEXTS = ("text-input", "paragraph")


@dataclass(frozen=True)
class Request:
    """What the app is asked for a row.

    Attributes:
        id: Hash of the app and of what it is asked.
        row: The row itself.
        number: Its place, from 0.
        query: The user's message; "" where there is none.
        inputs: Values of variables, as the row has them.
        files: Addresses and paths of files beside the query.
    """

    id: str
    row: Row
    number: int | None
    query: str
    inputs: dict[str, Any]
    files: list[str]

    def numbered(self, seen: dict[str, int]) -> Request:
        """The same with an id of its own, if there were rows with the same content before."""
        count = seen[self.id] = seen.get(self.id, 0) + 1
        return self if count == 1 else dataclasses.replace(self, id=f"{self.id}-{count}")


@dataclass(frozen=True)
class App:
    """The app, and which columns it is asked with.

    Attributes:
        name: Names the app without its key, as `connection.app` does.
        tool: What it is and takes.
        user: The end user of all rows.
        columns: As resolved for the rows at hand.
        workflow_id: Published version to run.
        folder: Where the paths of files begin.
    """

    name: str
    tool: AppTool
    user: str
    columns: Columns
    workflow_id: str | None
    folder: Path

    @property
    def lives_on(self) -> bool:
        """Whether runs go on when nobody reads them."""
        return self.tool.mode in LIVES_ON

    @property
    def has_conversations(self) -> bool:
        """Whether each row is a conversation, in whose history its answer is found again."""
        return self.tool.mode not in ("workflow", "completion")

    def request(self, row: Row, number: int | None) -> Request:
        """What the app is asked for a row."""
        columns = self.columns
        query = row.get(columns.query) if columns.query else None
        named = (columns.inputs or {}).items()
        inputs = {name: row.get(column) for name, column in named}
        attached = [file for column in columns.files for file in _listed(row.get(column))]
        told_apart = row.get(columns.id) if columns.id else None
        asked = [query, inputs, attached, told_apart]
        app = [self.name, self.workflow_id, columns.fixed]
        text = json.dumps([app, asked], sort_keys=True, default=str)
        identity = hashlib.sha256(text.encode()).hexdigest()[:32]
        return Request(identity, row, number, "" if query is None else str(query), inputs, attached)

    def operation(self, request: Request) -> Flow[Operation[Answer]]:
        """Check the values, upload the files, and make the call.

        Raises:
            ValueError: If a value does not fit; nothing has been requested then.
        """
        mode, user = self.tool.mode, self.user
        values = {name: value for name, value in request.inputs.items() if value is not None}
        for item in self.tool.form:
            if item.type == "file-list" and item.variable in values:
                values[item.variable] = _listed(values[item.variable])
        try:
            inputs = yield from self.tool.prepare_inputs(values, user=user)
        except ValidationError as error:
            raise ValueError(explain(error)) from None
        attached = yield from self._references(request.files)
        if mode == "workflow":
            if self.workflow_id:
                return workflows.run_version(self.workflow_id, inputs, user=user, files=attached)
            return workflows.run(inputs, user=user, files=attached)
        if mode == "completion":
            query = None if self.tool.form else request.query
            if query is not None:  # an app without variables has its prompt from here
                inputs = {"query": query}
            return completion.send_message(inputs, user=user, query=query, files=attached)
        return chat.send_message(
            request.query, user=user, inputs=inputs, files=attached, workflow_id=self.workflow_id
        )

    def _references(self, addresses: Iterable[str]) -> Flow[list[dict[str, Any]]]:
        references = []
        for address in addresses:
            if files.is_url(address):
                references.append(files.reference(address))
                continue
            path = (self.folder / address).resolve()
            if not path.is_file():
                raise ValueError(f"there is no file {address!r} in {self.folder}")
            uploaded = yield files.upload(path, user=self.user)
            references.append(files.reference(uploaded))
        return references


def describe(
    name: str,
    columns: Columns,
    header: Collection[str],
    *,
    user: str,
    workflow_id: str | None,
    folder: Path,
) -> Flow[App]:
    """Ask the app what it takes, and see that the rows have it.

    Args:
        name: Names the app.
        columns: As the caller gave them.
        header: Columns of the rows.
        user: The end user of all rows.
        workflow_id: Published version to run.
        folder: Where the paths of files begin.

    Raises:
        ValueError: If a column is missing, or a variable has none.
        DifyError: If the app cannot be asked.
    """
    tool = yield from describe_app(user=user, inputs=columns.fixed, root_dir=folder)
    given = [columns.query, columns.id, *columns.files, *(columns.inputs or {}).values()]
    missing = [column for column in given if column is not None and column not in header]
    if missing:
        raise ValueError(f"the rows have no column {_names(missing)}; they have {_names(header)}")
    return App(name, tool, user, _resolve(columns, tool, header), workflow_id, folder)


def _resolve(columns: Columns, tool: AppTool, header: Collection[str]) -> Columns:
    variables = [item.variable for item in tool.form if item.variable not in tool.inputs]
    inputs = {name: name for name in variables if name in header}
    unknown = [name for name in columns.inputs or {} if name not in variables]
    if unknown:
        raise ValueError(f"the app has no input {_names(unknown)}; it has {_names(variables)}")
    inputs.update(columns.inputs or {})
    query = columns.query
    if tool.mode == "workflow" or (tool.mode == "completion" and tool.form):
        if query is not None:
            inputs[_text_variable(tool, columns.inputs or {})] = query
            query = None
    elif query is None:
        if "query" not in header:
            raise ValueError(
                f"name the column that the app is asked with, as query: one of {_names(header)}"
            )
        query = "query"
    wanted = [
        item.variable
        for item in tool.form
        if item.required and item.default in (None, "") and item.type != "external_data_tool"
    ]
    without = [name for name in wanted if name not in inputs and name not in tool.inputs]
    if without:
        raise ValueError(
            f"the app needs {_names(without)}: name a column for it (inputs), or a fixed value"
        )
    return dataclasses.replace(columns, query=query, inputs=inputs)


def _text_variable(tool: AppTool, taken: Mapping[str, str]) -> str:
    """The variable that takes the query of an app which has variables alone."""
    texts = [
        item
        for item in tool.form
        if item.type in _TEXTS and item.variable not in taken and item.variable not in tool.inputs
    ]
    for likely in (
        [item for item in texts if item.variable == "query"],
        [item for item in texts if item.required],
        texts,
    ):
        if len(likely) == 1:
            return likely[0].variable
    raise ValueError(
        "which input the query column is cannot be told: name a column for each of "
        f"{_names(item.variable for item in tool.form)} instead"
    )


def _listed(value: Any) -> list[Any]:
    """The items of a cell: a list, its JSON text, or a single one."""
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
