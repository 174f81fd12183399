"""What the inputs of a form are filled with, refused as real servers refuse it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dify_local._protocol.errors import ApiError
from dify_local._protocol.values import JsonObject

FileOf = Callable[[JsonObject], JsonObject]


def checked(inputs: Iterable[JsonObject], given: JsonObject, file_of: FileOf) -> JsonObject:
    """Return the value of each input, files as workflows hold them.

    Args:
        inputs: The inputs of the form.
        given: What a person has filled in.
        file_of: Finds the file that a reference names, or raises an `ApiError`.

    Raises:
        ApiError: A value is missing, or does not fit its input.
    """
    wanted = {str(entry["output_variable_name"]): entry for entry in inputs}
    missing = [name for name in wanted if name not in given]
    if missing:
        raise _refused(f"Missing required inputs: {', '.join(missing)}")
    return {name: _value(entry, name, given[name], file_of) for name, entry in wanted.items()}


def value_type(value: object) -> str:
    """Return Dify's type of a value.

    Example:
        >>> value_type("low"), value_type([])
        ('string', 'array[any]')
    """
    if isinstance(value, list):
        return "array[file]" if value else "array[any]"
    return "file" if isinstance(value, dict) else "string"


def shown(value: object) -> str:
    """Return a value as a text shows it.

    Example:
        >>> shown("low"), shown({"filename": "a.txt"}), shown([])
        ('low', '[file]', '[0 files]')
    """
    if isinstance(value, list):
        return f"[{len(value)} files]"
    return "[file]" if isinstance(value, dict) else str(value)


def _value(entry: JsonObject, name: str, given: object, file_of: FileOf) -> object:
    kind = entry["type"]
    if kind == "select":
        return _option(entry, name, given)
    if kind == "file":
        return _file(given, f"file input '{name}'", file_of)
    if kind == "file-list":
        return _files(entry, name, given, file_of)
    return given


def _option(entry: JsonObject, name: str, given: object) -> str:
    options = (entry.get("option_source") or {}).get("value")
    if not isinstance(given, str):
        raise _refused(f"Invalid value for select input '{name}': expected string")
    if options and given not in options:
        raise _refused(f"Invalid value for select input '{name}': {given}")
    return given


def _file(given: object, place: str, file_of: FileOf) -> JsonObject:
    if not isinstance(given, dict):
        raise _refused(f"Invalid value for {place}: expected mapping")
    try:
        return file_of(given)
    except ApiError as error:
        raise _refused(f"Invalid value for {place}: {error.message}") from error


def _files(entry: JsonObject, name: str, given: object, file_of: FileOf) -> list[JsonObject]:
    place = f"file list input '{name}'"
    if not isinstance(given, list):
        raise _refused(f"Invalid value for {place}: expected list")
    limit = entry.get("number_limits")
    if limit and len(given) > limit:
        message = f"Number of files exceeds the maximum limit {limit}"
        raise _refused(f"Invalid value for {place}: {message}")
    return [_file(one, place, file_of) for one in given]


def _refused(message: str) -> ApiError:
    return ApiError(400, "invalid_form_data", message)
