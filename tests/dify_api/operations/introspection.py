"""Every operation function of `dify_api`, called with sample arguments."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import typing
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from dify_api import endpoints
from dify_api.operation import Operation

MODULES = [
    importlib.import_module(f"{endpoints.__name__}.{module.name}")
    for module in pkgutil.iter_modules(endpoints.__path__)
]


A_UUID = str(uuid.uuid5(uuid.NAMESPACE_URL, "a document"))

SAMPLES: dict[str, Any] = {
    "action": "enable",
    "answer": "146",
    "content": "Saturn has 146 moons.",
    "datasource_info_list": [{"reference": A_UUID}],
    "datasource_type": "local_file",
    "document_ids": [A_UUID],
    "embedding_model_name": "text-embedding-3-small",
    "embedding_provider_name": "openai",
    "file": b"content",
    "indexing_technique": "economy",
    "inputs": {"planet": "Saturn"},
    "name": "moons.txt",
    "operation_data": [
        {"document_id": A_UUID, "metadata_list": [{"id": A_UUID, "name": "year", "value": 1610}]}
    ],
    "query": "How many moons has Saturn?",
    "question": "How many moons has Saturn?",
    "rating": "like",
    "score_threshold": 0.9,
    "segments": ["Saturn has 146 moons."],
    "tag_ids": [A_UUID],
    "text": "Saturn has 146 moons.",
    "type": "number",
    "user": "ann",
    "value": 146,
}

OPTIONAL_SAMPLES = {"text", "name", "content", "file"}
"""Optional parameters without which the call says nothing."""


def operation_functions() -> Iterator[Callable[..., Operation[Any]]]:
    """The public functions of the modules that return an operation."""
    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("_") or function.__module__ != module.__name__:
                continue
            result = typing.get_type_hints(function)["return"]
            if typing.get_origin(result) is Operation:
                yield function


def ids_of(function: Callable[..., Operation[Any]]) -> dict[str, str]:
    """A UUID for each parameter that is part of the path."""
    parameters = inspect.signature(function).parameters.values()
    needed = [p.name for p in parameters if _is_required(p) and p.name not in SAMPLES]
    return {name: str(uuid.uuid5(uuid.NAMESPACE_URL, name)) for name in needed}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD


def sample(function: Callable[..., Operation[Any]], **given: Any) -> Operation[Any]:
    """The operation that a function makes of sample arguments."""
    values = {**SAMPLES, **ids_of(function)}
    arguments = {
        name: values[name]
        for name, parameter in inspect.signature(function).parameters.items()
        if _is_required(parameter) or name in OPTIONAL_SAMPLES
    }
    return function(**{**arguments, **given})


def route(function: Callable[..., Operation[Any]]) -> tuple[str, str]:
    """Method and path with the names of ids in place of the samples."""
    operation = sample(function)
    path = operation.path
    for name, value in ids_of(function).items():
        path = path.replace(value, f"{{{name}}}")
    path = re.sub("/(annotation-reply|status|built-in)/(enable|disable)", r"/\1/{action}", path)
    return operation.method, path
