"""A conversation that a tool keeps in the thread of a graph: read from the thread's own messages.

The message of a tool's result says which conversation of which app and user it belongs to. So
checkpointers keep conversations, across processes too, and a fork of a thread is found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import BaseModel, Field, create_model

from dify_api._calls.fingerprints import user_fingerprint
from dify_api._calls.input_message import Anchor, InputMessage
from dify_api._calls.transcript import write_out
from dify_api._runs.flows import Flow
from dify_api.endpoints.messages import list_messages
from dify_api.errors import ConversationNotFoundError

STATE = "dify_state"
"""The argument in which LangGraph hands the tool the state of the graph; no model sees it."""


def with_state(schema: type[BaseModel]) -> type[BaseModel]:
    """The arguments of a tool, and the state of the graph.

    Raises:
        ImportError: If LangGraph is not installed.
    """
    try:
        from langgraph.prebuilt import InjectedState
    except ImportError as error:
        raise ImportError(
            'conversation="thread" needs LangGraph: pip install "dify-adapters[langgraph]"'
        ) from error
    # Agents of langchain 1.0 look for a class of their own.
    of_agents = getattr(sys.modules.get("langchain.tools"), "InjectedState", InjectedState)
    state: Any = Annotated[Any, InjectedState()]
    if of_agents is not InjectedState:
        state = Annotated[state, of_agents()]
    fields: Any = {STATE: (state, Field(default=None))}
    return create_model(schema.__name__, __base__=schema, __doc__=schema.__doc__, **fields)


class ThreadTurns:
    """What a tool asked its app in a thread, and what the app answered.

    Args:
        state: The state of the graph, of any kind.
        tool: The tool's name.
        apps: Names of the app: the one it has now, and earlier ones.
        user: The end user.
        query_argument: The argument that is the question.
    """

    def __init__(
        self, state: object, *, tool: str, apps: Sequence[str], user: str, query_argument: str
    ) -> None:
        messages = list(_messages(state))
        asked = {
            call["id"]: str(call["args"].get(query_argument, ""))
            for message in messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        }
        owner = user_fingerprint(user)
        self._is_one_of_several = _calls_at_once(messages, tool) > 1
        self._turns: list[InputMessage] = []
        self._message_ids: dict[str, list[str]] = {}
        self._conversation_id: str | None = None
        for message in messages:
            anchor = _anchor(message)
            if anchor is None or message.name != tool:
                continue
            if anchor.app not in apps or anchor.user != owner:
                continue
            question = asked.get(str(getattr(message, "tool_call_id", "")), "")
            self._turns += [
                InputMessage("user", question),
                InputMessage("assistant", str(message.text), anchor),
            ]
            self._conversation_id = anchor.conversation_id
            self._message_ids.setdefault(anchor.conversation_id, []).append(anchor.message_id or "")

    def go_on(self, query: str, user: str) -> Flow[tuple[str | None, str]]:
        """The conversation to continue, and what to ask in it.

        It is a new one, with what was said written out, where the old one is gone or went on
        without this thread: in another fork of it.
        """
        conversation_id = self._conversation_id
        if conversation_id is None:
            return None, query
        try:
            page = yield list_messages(conversation_id, user=user, limit=1)
        except ConversationNotFoundError:
            pass
        else:
            newest = page.data[-1].id if page.data else None
            # Of calls that the model makes at once, one finds the other's message.
            if self._is_one_of_several or newest in self._message_ids[conversation_id]:
                return conversation_id, query
        return None, write_out([*self._turns, InputMessage("user", query)])


def _calls_at_once(messages: Sequence[BaseMessage], tool: str) -> int:
    """How often the newest message of the model calls the tool."""
    answers = [message for message in messages if isinstance(message, AIMessage)]
    return sum(call["name"] == tool for call in answers[-1].tool_calls) if answers else 0


def _messages(state: object) -> Iterable[BaseMessage]:
    """The messages of a state: a list, a dict, a dataclass or a pydantic model."""
    if isinstance(state, list):
        return [message for message in state if isinstance(message, BaseMessage)]
    values = state.values() if isinstance(state, Mapping) else vars(state or object()).values()
    return [
        message
        for value in values
        if isinstance(value, list)
        for message in value
        if isinstance(message, BaseMessage)
    ]


def _anchor(message: BaseMessage) -> Anchor | None:
    if not isinstance(message, ToolMessage):
        return None
    facts = message.response_metadata
    return Anchor.read(facts, facts.get("message_id"))
