"""The connection of LangChain's classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

from pydantic import model_validator

from dify_api._advice import Advice
from dify_api._calls.connected_model import ConnectedModel
from langchain_dify._installation import warn_if_overwritten

warn_if_overwritten()

ADAPTER = "langchain_dify"
ADVICE = Advice(
    app_type="Use ChatDify for chat, agent and chatflow apps, DifyLLM for completion apps, "
    "DifyWorkflow for workflow apps; DifyTool.from_app takes any app.",
    missing_input=" to the class or the call.",
    lost_conversation='start a new conversation, which ChatDify does by itself with on_fork="new".',
    paused="Its client.resume(error, values, user=...) fills them, and goes on with the answer; in "
    'LangGraph human_input="interrupt" has the graph wait.',
)


class LangChainConnection(ConnectedModel, defer_build=True):
    """A base of the pydantic classes: the connection's fields, and its two clients."""

    adapter: ClassVar[str] = ADAPTER
    advice: ClassVar[Advice] = ADVICE
    other_names: ClassVar[Mapping[str, str]] = {}
    """What others call an argument, and what it is called here."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and cls.model_config.get("extra") == "forbid":
            cls.check_arguments(values)
        return values

    @classmethod
    def check_arguments(cls, names: Collection[str]) -> None:
        """Refuse what is no argument of the constructor.

        Raises:
            ValueError: For an unknown name, with the one that may be meant.
        """
        fields = cls.model_fields
        known = {*fields, *(field.alias for field in fields.values() if field.alias)}
        unknown = sorted(name for name in names if name not in known)
        if unknown:
            own = sorted(known - _OF_LANGCHAIN)
            raise ValueError(unknown_argument(cls.__name__, unknown[0], own, cls.other_names))


_OF_LANGCHAIN = frozenset(
    {"args_schema", "cache", "callback_manager", "callbacks", "custom_get_token_ids", "extras"}
    | {"handle_tool_error", "handle_validation_error", "metadata", "output_version", "profile"}
    | {"rate_limiter", "response_format", "return_direct", "tags", "verbose"}
)
"""Arguments of the classes that are derived from, which are not the first to be meant."""


def unknown_argument(
    kind: str, name: str, known: Collection[str], other_names: Mapping[str, str] | None = None
) -> str:
    """What is said of an argument that there is not.

    Example:
        >>> unknown_argument("DifyRetriever", "baseurl", ["base_url", "k"])
        "DifyRetriever knows no argument 'baseurl'; did you mean base_url?"
    """
    meant = (other_names or {}).get(name) or next(iter(get_close_matches(name, known, 1)), None)
    rest = f"did you mean {meant}?" if meant else f"it knows {', '.join(known)}"
    return f"{kind} knows no argument {name!r}; {rest}"
