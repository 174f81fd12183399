"""Any app as a tool for another model: its name, description and arguments, and its call.

What to call it and what it takes is asked of the app once (`describe_app`); then each call is
checked, prepared and made (`AppTool.prepare`), and its answer told in a text (`result_text`)::

    tool = run(client, describe_app(user="ann"))
    answer = client.send(run(client, tool.prepare({"query": "Which moons has Mars?"}, user="ann")))
    print(result_text(answer))
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AfterValidator, Field, StringConstraints

from dify_api._calls.input_form import FieldDefinition, InputForm, form_model, upload_files
from dify_api._runs.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.endpoints import application, chat, completion, conversations, workflows
from dify_api.endpoints.application import UserInputFormItem
from dify_api.errors import NotFoundError, WrongAppTypeError
from dify_api.operation import Operation

AppMode = Literal["completion", "chat", "agent-chat", "advanced-chat", "workflow", "agent"]
"""The modes of Dify's apps; "advanced-chat" is a chatflow, "agent" a New Agent."""

_NAME_LENGTH = 64
_DESCRIPTION_LENGTH = 1024


@dataclass(frozen=True)
class AppTool:
    """An app, described as a tool. A plain value: it holds no key and no connection.

    Attributes:
        mode: The app's mode.
        name: Letters, digits, "_" and "-", up to 64.
        description: What the app is for, up to 1024 characters.
        form: The app's variables, all of them.
        inputs: Values of variables that are fixed, and so are no arguments.
        root_dir: Directory below which a file argument may be a path; None for URLs and ids of
            uploaded files alone.
        remembers: Whether calls go on with one conversation.
    """

    mode: AppMode
    name: str
    description: str
    form: tuple[UserInputFormItem, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    root_dir: str | Path | None = None
    remembers: bool = False

    @property
    def query_argument(self) -> str | None:
        """The argument that is the user's message; None for apps that have variables alone.

        It is "query", or "message" where a variable is called that.
        """
        if self.mode == "workflow" or (self.mode == "completion" and self.form):
            return None
        return "message" if any(item.variable == "query" for item in self.form) else "query"

    @cached_property
    def args_schema(self) -> type[InputForm]:
        """The arguments as a pydantic model. Hidden variables without need are left out."""
        form = [
            item
            for item in self.form
            if item.variable not in self.inputs
            and not (item.hide and (not item.required or item.default not in (None, "")))
        ]
        first: dict[str, FieldDefinition] = {}
        if self.query_argument:
            first[self.query_argument] = _query(remembers=self.remembers)
        return form_model(self.name, form, first=first, root_dir=self.root_dir)

    @cached_property
    def inputs_schema(self) -> type[InputForm]:
        """All variables as a pydantic model."""
        return form_model(f"{self.name}_inputs", self.form, root_dir=self.root_dir)

    def with_inputs(self, inputs: Mapping[str, Any]) -> AppTool:
        """The tool with further values fixed, of those variables that the app has."""
        known = {item.variable for item in self.form}
        fixed = {name: value for name, value in inputs.items() if name in known}
        return dataclasses.replace(self, inputs={**self.inputs, **fixed}) if fixed else self

    def prepare(
        self,
        arguments: Mapping[str, Any] | InputForm,
        *,
        user: str,
        conversation_id: str | None = None,
    ) -> Flow[Operation[Answer]]:
        """Check the arguments, upload the files among them, and make the call.

        Args:
            arguments: By the names of `args_schema`, or checked already.
            user: The end user.
            conversation_id: Conversation of theirs to continue, of an app that chats. Default: a
                new one.

        Returns:
            The operation to send or stream.

        Raises:
            pydantic.ValidationError: If an argument does not fit; `input_form.explain` tells a
                model what to put right. Nothing has been requested then.
        """
        if not isinstance(arguments, InputForm):
            arguments = self.args_schema.model_validate(dict(arguments))
        values = arguments.values()
        query = values.pop(self.query_argument, None) if self.query_argument else None
        inputs = yield from self.prepare_inputs(values, user=user)
        if self.mode == "workflow":
            return workflows.run(inputs, user=user)
        if self.mode == "completion":
            if query is not None:  # an app without variables has its prompt from here
                inputs = {"query": query}
            return completion.send_message(inputs, user=user, query=query)
        return chat.send_message(
            query or "", user=user, inputs=inputs, conversation_id=conversation_id
        )

    def prepare_inputs(self, values: Mapping[str, Any], *, user: str) -> Flow[dict[str, Any]]:
        """Check the values of variables and upload the files among them.

        Args:
            values: By variable; those that are fixed are added.
            user: The end user whose files they are.

        Returns:
            The `inputs` of a request.

        Raises:
            pydantic.ValidationError: If a value does not fit.
        """
        checked = self.inputs_schema.model_validate({**values, **self.inputs})
        return (yield from upload_files(self.form, checked.values(), user))

    def __getstate__(self) -> dict[str, Any]:
        """Without the models, which are classes made at run time and cannot be pickled."""
        models = ("args_schema", "inputs_schema")
        return {name: value for name, value in self.__dict__.items() if name not in models}


def describe_app(
    *,
    user: str,
    mode: AppMode | None = None,
    name: str | None = None,
    description: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    root_dir: str | Path | None = None,
) -> Flow[AppTool]:
    """Ask an app what it is called, what it is for and what it takes.

    Args:
        user: An end user, for the questions that find out the mode of an app before 1.4.0.
        mode: The app's mode. Default: asked of the app.
        name: Name of the tool. Default: the app's, made fit for a tool.
        description: Default: the app's.
        inputs: Values of variables to fix; they are no arguments of the tool then.
        root_dir: Directory below which a file argument may be a path. Default: a file argument
            is a public URL or the id of an uploaded file.

    Raises:
        ValueError: If `inputs` holds a variable that the app does not have, or `name` is not fit.
        DifyError: If the app cannot be asked.
    """
    if name is not None and not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        raise ValueError(f'a tool name has up to 64 letters, digits, "_" and "-", not {name!r}')
    info = application.Info()
    if not (mode and name and description):
        with contextlib.suppress(NotFoundError):  # before 0.6.2
            info = yield application.info()
    form = tuple((yield application.parameters()).user_input_form)
    _check_fixed(inputs or {}, form)
    mode = mode or _known_mode(info.mode) or (yield from _find_mode(user))
    title = info.name or f"{mode} app"
    return AppTool(
        mode=mode,
        name=name or tool_name(title),
        description=(description or info.description or f'Ask the Dify app "{title}".')[
            :_DESCRIPTION_LENGTH
        ],
        form=form,
        inputs=dict(inputs or {}),
        root_dir=root_dir,
    )


def app_mode(user: str) -> Flow[AppMode]:
    """Ask an app what kind it is."""
    info = application.Info()
    with contextlib.suppress(NotFoundError):  # before 0.6.2
        info = yield application.info()
    return _known_mode(info.mode) or (yield from _find_mode(user))


def tool_name(title: str) -> str:
    """An app's name as the name of a tool.

    Example:
        >>> tool_name("Solar System Chat"), tool_name("太阳系")
        ('Solar_System_Chat', 'dify_36b2ba05')
    """
    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", title).strip("_")[:_NAME_LENGTH].rstrip("_")
    if not re.search(r"[a-zA-Z]", name):
        return f"dify_{hashlib.sha256(title.encode()).hexdigest()[:8]}"
    return name


def distinct_names(names: Iterable[str]) -> list[str]:
    """The names of several tools, numbered where they are the same: models call tools by name.

    Example:
        >>> distinct_names(["moons", "travel", "moons"])
        ['moons', 'travel', 'moons_2']
    """
    distinct: list[str] = []
    for name in names:
        numbered, count = name, 1
        while numbered in distinct:
            count += 1
            numbered = f"{name[: _NAME_LENGTH - 4]}_{count}"
        distinct.append(numbered)
    return distinct


def result_text(answer: Answer) -> str:
    """An answer as a model reads it.

    The text; of a workflow with several outputs, which its text is only a part of, their JSON;
    the addresses of its files where there is nothing else.
    """
    outputs = None if answer.conversation_id else answer.outputs
    if outputs and (len(outputs) > 1 or not answer.text):
        return json.dumps(outputs, ensure_ascii=False, default=str)
    if answer.text:
        return answer.text
    return "\n".join(file.url or file.remote_url or "" for file in answer.files).strip()


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _query(*, remembers: bool) -> FieldDefinition:
    seen = (
        "the app remembers what it was asked by this tool, but sees nothing else of this "
        "conversation."
        if remembers
        else "complete in itself, since the app sees nothing of this conversation."
    )
    return (
        Annotated[str, StringConstraints(min_length=1), AfterValidator(_not_blank)],
        Field(description=f"What to ask or tell the app: {seen}"),
    )


def _known_mode(mode: str | None) -> AppMode | None:
    return cast("AppMode", mode) if mode in get_args(AppMode) else None


def _find_mode(user: str) -> Flow[AppMode]:
    """What kind of app it is, told by which lists it has; its mode is named since 1.4.0."""
    try:
        yield conversations.list_conversations(user=user, limit=1)
    except WrongAppTypeError:
        pass
    else:
        return "chat"
    try:
        yield workflows.run_detail(_NO_RUN)
    except WrongAppTypeError:
        return "completion"
    except NotFoundError:
        pass
    return "workflow"


_NO_RUN = "00000000-0000-4000-8000-000000000000"


def _check_fixed(inputs: Mapping[str, Any], form: tuple[UserInputFormItem, ...]) -> None:
    known = [item.variable for item in form]
    unknown = sorted(set(inputs) - set(known))
    if unknown:
        has = ", ".join(known) if known else "none"
        raise ValueError(f"the app has no input {', '.join(unknown)}; its inputs: {has}")
