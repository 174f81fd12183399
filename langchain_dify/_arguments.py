"""What `ChatDify` and `DifyLLM` are made and called with, and the refusal of anything else."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from langchain_core.language_models.base import BaseLanguageModel
from pydantic import Field, model_validator
from typing_extensions import Self

from dify_api._calls.end_user import shown_user
from dify_api._calls.fingerprints import user_fingerprint
from dify_api._version import __version__
from langchain_dify._connection import LangChainConnection
from langchain_dify._names import MODEL_NAME

_SET_IN_THE_APP = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "num_predict",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "thinking",
        "verbosity",
        "seed",
        "n",
        "service_tier",
        "stream_options",
        "stream_usage",
    }
)
"""What other models take, and what in Dify the app decides. Given to a model of ours, which may be
the fallback of one of them, it is ignored with a warning."""

_OF_A_CALL = frozenset(
    {"trace_id", "trace_session_id", "user", "inputs", "files", "stop", "stream"}
)
_OF_CONVERSATIONS = frozenset({"conversation_id", "memory", "on_fork"})
_OF_LANGCHAIN = frozenset({"ls_structured_output_format", "structured_output_format"})


def default_user() -> str:
    """The end user where none is named."""
    return os.environ.get("DIFY_USER") or "langchain"


class DifyArguments(LangChainConnection):
    """What both models take beside the connection."""

    user: str = Field(default_factory=default_user)
    """Stable identifier of the end user, to whom conversations and files belong. Default:
    `DIFY_USER`, else "langchain". Name your own users where you have several."""
    inputs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Values of the app's variables; those of a call are laid over them."""
    files: list[dict[str, Any]] = Field(default_factory=list, repr=False)
    """Entries of the request's `files`, as they are, beside the files of messages."""
    trace_id: str | None = None
    """Your trace id, which Dify's own trace then joins (servers since 1.7.0)."""
    trace_session_id: str | None = None
    """The session of your trace, 1 to 200 characters (servers since 1.16.0)."""
    model_name: str = Field(default=MODEL_NAME, min_length=1)
    """What traces and sums of usage call the app, such as its own name. Default: "dify"."""
    stop: list[str] | None = Field(default=None, alias="stop_sequences")
    """Sequences at which an answer ends. Dify knows none: the answer is cut here."""

    @model_validator(mode="after")
    def _set_dify_version(self) -> Self:
        if isinstance(self, BaseLanguageModel) and hasattr(self, "_add_version"):
            self._add_version("dify-adapters", __version__)  # for LangSmith; newer langchain-core
        return self

    @model_validator(mode="before")
    @classmethod
    def _check_arguments(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        known = set(cls.model_fields)
        known.update(field.alias for field in cls.model_fields.values() if field.alias)
        unknown = {name for name in values if name not in known and not name.startswith("_")}
        _warn_of_ignored(unknown, stacklevel=5)
        if unknown := unknown - _SET_IN_THE_APP:
            cls.check_arguments(unknown)
        return values

    def _app_params(self) -> dict[str, Any]:
        """What tells answers of this object from those of others, for caches and traces."""
        return {
            "app": self.app,
            "base_url": self.base_url,
            "model_name": self.model_name,
            "user": user_fingerprint(self.user),
            "inputs": self.inputs,
            "files": self.files,
            "default_stop": self.stop,
        }


def with_user_hidden(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call as traces may show them."""
    user = arguments.get("user")
    return {**arguments, "user": shown_user(user)} if isinstance(user, str) else {**arguments}


def check_call_arguments(
    arguments: Mapping[str, object], kind: type, also: Collection[str] = ()
) -> None:
    """Refuse what a call cannot be made with; warn of what the app decides.

    Raises:
        TypeError: For an argument that no model knows.
    """
    if not arguments:
        return
    check_call_values(arguments)
    unknown = set(arguments) - _OF_A_CALL - _OF_LANGCHAIN - set(also)
    _warn_of_ignored(unknown, stacklevel=6)
    unknown -= _SET_IN_THE_APP
    if not unknown:
        return
    name = min(unknown)
    if name in _OF_CONVERSATIONS:
        raise TypeError(f"{kind.__name__} takes no {name}: a completion app keeps no conversation")
    if name in getattr(kind, "model_fields", {}):
        raise TypeError(
            f"{name} cannot be set for a call: give it to the constructor, "
            f"{kind.__name__}({name}=...)"
        )
    raise TypeError(
        f"{kind.__name__} knows no call argument {name!r}; it knows "
        f"{', '.join(sorted({*_OF_A_CALL, *also}))}"
    )


def _warn_of_ignored(names: Collection[str], stacklevel: int) -> None:
    for name in sorted(_SET_IN_THE_APP.intersection(names)):
        warnings.warn(
            f"{name} is ignored: the Dify app decides it, not its caller", stacklevel=stacklevel
        )


def check_call_values(arguments: Mapping[str, object]) -> None:
    """Refuse what cannot be a value of a call's `user`, `inputs` or `files`.

    Raises:
        ValueError: For an empty user: another's conversations would be his.
        TypeError: For a value of another type.
    """
    user, inputs, files = (arguments.get(name) for name in ("user", "inputs", "files"))
    if user is not None and not isinstance(user, str):
        raise TypeError(f"user must be the name of an end user as text, not {type(user).__name__}")
    if user is not None and not user.strip():
        raise ValueError("user must not be empty: name the end user, or leave it out")
    if inputs is not None and not isinstance(inputs, Mapping):
        raise TypeError(
            f"inputs must be a dict of the app's variables, not {type(inputs).__name__}"
        )
    if files is not None and not (
        isinstance(files, list | tuple) and all(isinstance(file, Mapping) for file in files)
    ):
        raise TypeError(
            f"files must be a list of dicts as Dify's reference has them, not {files!r}"
        )
