"""An app's input form as a pydantic model: what the app takes, checked before a request.

`GET /parameters` lists the form. Servers refuse a bad value only after the request is made, and
some with a 500 or an empty stream; the model refuses it first, and its JSON schema tells a
language model what to give.
"""

from __future__ import annotations

import keyword
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from dify_api._calls.attachments import Attachment
from dify_api._runs.flows import Flow
from dify_api.endpoints import files
from dify_api.endpoints.application import UserInputFormItem
from dify_api.models import JSONObject, from_json_text

FileValue = str | Path | Attachment | files.UploadedFile | Mapping[str, Any]
"""A file input: a public URL, the id of an uploaded file, a `Path` to upload, an `Attachment`,
what `files.upload` returned, or a file reference as it goes over the wire."""

FieldDefinition = tuple[Any, Any]
"""Annotation and `Field(...)`, as `pydantic.create_model` takes them."""


class InputForm(BaseModel):
    """Base of the models that `form_model` makes."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        arbitrary_types_allowed=True,
        coerce_numbers_to_str=True,  # servers refuse 5 where the form has a text
    )

    def values(self) -> dict[str, Any]:
        """The values given or defaulted, by the variables' names; files are not uploaded yet."""
        named = {
            field.alias or name: getattr(self, name)
            for name, field in type(self).model_fields.items()
        }
        return {name: value for name, value in named.items() if value is not None}


def form_model(
    name: str,
    form: Iterable[UserInputFormItem],
    *,
    first: Mapping[str, FieldDefinition] | None = None,
    root_dir: str | Path | None = None,
) -> type[InputForm]:
    """The pydantic model of a form.

    Args:
        name: Name of the class, which JSON schema shows as the title.
        form: The variables; `external_data_tool` is left out, the server fills it.
        first: Further fields, before those of the form.
        root_dir: Directory from which file inputs may be read by a relative path. Default: a
            text is a URL or the id of an uploaded file and never opens a local file.

    Returns:
        A subclass of `InputForm`. It forbids what the form does not have, and takes what
        servers take: numbers as text, "" for a number that is not given.

    Example:
        >>> form = [UserInputFormItem(type="select", variable="style", options=["formal"])]
        >>> form_model("Inputs", form)(style="casual")
        Traceback (most recent call last):
        pydantic_core._pydantic_core.ValidationError: 1 validation error for Inputs ...
    """
    fields: dict[str, Any] = dict(first or {})
    for item in form:
        if item.variable and item.type != "external_data_tool":
            fields[_field_name(item.variable, fields)] = _field(item, root_dir)
    return create_model(name, __base__=InputForm, **fields)


def explain(error: ValidationError) -> str:
    """What is wrong with the values, as a person or a model can put it right.

    Example:
        >>> explain(error)
        "style: Input should be 'formal' or 'casual' (given: 'loud')"
    """
    lines = []
    for issue in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in issue["loc"] if not _is_union_tag(part))
        given = "" if issue["type"] == "missing" else f" (given: {_shortened(issue['input'])})"
        message = issue["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {message}{given}" if place else message)
    return "; ".join(lines)


def upload_files(
    form: Iterable[UserInputFormItem], values: Mapping[str, Any], user: str
) -> Flow[dict[str, Any]]:
    """Turn the file values of `values` into references, uploading those that must be.

    Args:
        form: The variables.
        values: Checked values, such as `InputForm.values()` gives them.
        user: The end user whose files they are.

    Returns:
        The `inputs` of a request.
    """
    inputs = dict(values)
    for item in form:
        value = values.get(item.variable)
        if value in (None, ""):
            continue
        if item.type == "file":
            inputs[item.variable] = yield from _reference(value, item, user)
        elif item.type == "file-list":
            inputs[item.variable] = []
            for file in value:
                reference = yield from _reference(file, item, user)
                inputs[item.variable].append(reference)
    return inputs


def _reference(value: Any, item: UserInputFormItem, user: str) -> Flow[dict[str, Any]]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        uploaded = yield files.upload(value, user=user)
        return files.reference(uploaded)
    if isinstance(value, Attachment):
        return (yield from value.reference(user))
    if isinstance(value, files.UploadedFile):
        return files.reference(value)
    return _text_reference(str(value), item.allowed_file_types)


def _text_reference(value: str, allowed: Sequence[str]) -> dict[str, Any]:
    """The reference of a URL or an id, whose type is told by the name or by what is allowed."""
    if files.is_url(value):
        reference = files.reference(value)
        if allowed and reference["type"] not in allowed:
            reference["type"] = allowed[0]
        return reference
    likely: Any = "document" if "document" in allowed or not allowed else allowed[0]
    return files.reference(value, likely)


# Fields ----------------------------------------------------------------------------------------


def _field_name(variable: str, taken: Mapping[str, object]) -> str:
    """A name that pydantic takes; the variable's own wherever possible."""
    name = re.sub(r"\W", "_", variable).lstrip("_")
    unusable = not name or name[0].isdigit() or keyword.iskeyword(name) or hasattr(InputForm, name)
    if unusable:
        name = f"input_{name}" if not name or name[0].isdigit() else f"{name}_"
    while name in taken:
        name += "_"
    return name


def _field(item: UserInputFormItem, root_dir: str | Path | None) -> FieldDefinition:
    annotation = _KINDS.get(item.type, _text)(item, root_dir)
    described: dict[str, Any] = {"alias": item.variable, "description": _description(item)}
    default = _default(item, annotation)
    if default is not None:
        return annotation, Field(default, **described)
    if item.required:
        return annotation, Field(**described)
    return Annotated[annotation | None, BeforeValidator(_empty_to_none)], Field(None, **described)


def _description(item: UserInputFormItem) -> str:
    parts = [item.label or item.variable, item.description, item.hint]
    text = ". ".join(part.strip().rstrip(".") for part in parts if part and part.strip())
    if item.type in ("file", "file-list"):
        what = " or ".join(item.allowed_file_types) or "file"
        text += f". {what.capitalize()}: a public URL, or the id of an uploaded file"
    return f"{text}."


def _default(item: UserInputFormItem, annotation: Any) -> Any:
    """The form's default, where it is one that the form takes."""
    if item.default in (None, "") or item.type in ("file", "file-list"):
        return None
    adapter = TypeAdapter(annotation, config=ConfigDict(coerce_numbers_to_str=True))
    try:
        return adapter.validate_python(item.default)
    except ValidationError:
        return None


def _max_length(item: UserInputFormItem) -> int | None:
    """The form's limit, where it is one."""
    length = item.max_length
    return length if length and 0 < length <= sys.maxsize else None


def _text(item: UserInputFormItem, _: object) -> Any:
    limit = _max_length(item)
    return Annotated[str, StringConstraints(max_length=limit)] if limit else str


def _select(item: UserInputFormItem, _: object) -> Any:
    return Literal[tuple(item.options)] if item.options else str


def _number(_item: UserInputFormItem, _: object) -> Any:
    number = int | Annotated[float, AllowInfNan(False)]
    return Annotated[number, BeforeValidator(_to_number), WithJsonSchema({"type": "number"})]


def _checkbox(_item: UserInputFormItem, _: object) -> Any:
    return bool


def _json_object(item: UserInputFormItem, _: object) -> Any:
    schema = from_json_text(item.json_schema)
    if isinstance(schema, dict) and schema:
        return Annotated[JSONObject, WithJsonSchema({"type": "object", **schema})]
    return JSONObject


def _file(_item: UserInputFormItem, root_dir: str | Path | None) -> Any:
    return Annotated[Any, AfterValidator(_file_check(root_dir)), _TEXT_SCHEMA]


def _file_list(item: UserInputFormItem, root_dir: str | Path | None) -> Any:
    check = AfterValidator(_file_check(root_dir))
    size = Field(min_length=1 if item.required else None, max_length=_max_length(item))
    return Annotated[list[Annotated[Any, check, _TEXT_SCHEMA]], size]


_TEXT_SCHEMA = WithJsonSchema({"type": "string"})

_KINDS: dict[str, Callable[[UserInputFormItem, str | Path | None], Any]] = {
    "text-input": _text,
    "paragraph": _text,
    "select": _select,
    "number": _number,
    "checkbox": _checkbox,
    "json_object": _json_object,
    "file": _file,
    "file-list": _file_list,
}


def _file_check(root_dir: str | Path | None) -> Callable[[Any], FileValue]:
    """The check of a file input. A text may come from a model: it must not open any file."""
    root = Path(root_dir).resolve() if root_dir is not None else None

    def check(value: Any) -> FileValue:
        if isinstance(value, Path | Attachment | files.UploadedFile):
            return value
        if isinstance(value, Mapping):
            if "transfer_method" not in value:
                raise ValueError("a file reference needs type, transfer_method and url or id")
            return value
        if not isinstance(value, str):
            raise ValueError("give the public URL of a file, or the id of an uploaded file")
        if files.is_url(value) or _is_uuid(value):
            return value
        if root is None:
            raise ValueError("give the public URL of a file, or the id of an uploaded file")
        path = (root / value).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise ValueError("there is no such file among those that may be read")
        return path

    return check


def _to_number(value: Any) -> Any:
    """Servers take a number as text too. One message, where a union would give one per type."""
    if isinstance(value, str):
        try:
            return int(value) if re.fullmatch(r"\s*[-+]?\d+\s*", value) else float(value)
        except ValueError:
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("Input should be a number")


def _empty_to_none(value: Any) -> Any:
    return None if value == "" else value


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def _is_union_tag(part: int | str) -> bool:
    """Whether a part of a place names a branch of a union or a validator, not a field."""
    return part in ("int", "float", "constrained-float") or "[" in str(part)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
