"""A conversation on the server as a chat message history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage
from pydantic import SecretStr
from typing_extensions import Unpack

from dify_api._calls.input_message import marks
from dify_api.connection import ConnectionOptions
from dify_api.endpoints.messages import Message, list_messages
from langchain_dify._arguments import default_user
from langchain_dify._calls.stored_turns import StoredTurns
from langchain_dify._connected import LangChainConnected

_PAGE = 100  # the most that servers give at once


class DifyChatMessageHistory(BaseChatMessageHistory):
    """Reads a conversation that Dify keeps (`GET /messages`), oldest message first.

    Its answers carry the ids by which `ChatDify` continues the conversation, so that
    `model.invoke([*history.messages, HumanMessage("And then?")])` sends the new question alone.
    Tool calls are shown as calls and results, and what `ChatDify` wrote around the words of a user
    (the offer of tools, the demand for JSON, a history written out) is left out; system text stays
    where it was told. It cannot be written: the server writes each turn itself as it is made.

    Args:
        conversation_id: The conversation.
        api_key: Key of the app it was held with. Default: `DIFY_API_KEY`.
        user: The end user whose conversation it is. Default: `DIFY_USER`, else "langchain".
        **options: Address, limits, headers and so on, as in `ChatDify`.

    Raises:
        ValueError: If there is no key.
        DifyError: On reading: for instance `ConversationNotFoundError`, if it was deleted.

    Example:
        >>> history = DifyChatMessageHistory(conversation_id, api_key="app-...", user="ann")
        >>> [message.content for message in history.messages]
        ['Which planet has most moons?', 'Saturn, with 274.']
    """

    def __init__(
        self,
        conversation_id: str,
        *,
        user: str | None = None,
        api_key: SecretStr | str | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.conversation_id = conversation_id
        self.user = user or default_user()
        self._connection = LangChainConnected.of(api_key, **options)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # an attribute in the base
        """The whole conversation, read from the server each time, page by page."""
        pages = list_messages(self.conversation_id, user=self.user, limit=_PAGE)
        return self._in_order(list(self._connection.client.iterate(pages)))

    async def aget_messages(self) -> list[BaseMessage]:
        """`messages` for asyncio."""
        pages = list_messages(self.conversation_id, user=self.user, limit=_PAGE)
        newest_first = [message async for message in self._connection.async_client.iterate(pages)]
        return self._in_order(newest_first)

    def add_messages(self, messages: Sequence[BaseMessage]) -> NoReturn:
        """Not possible.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "a Dify conversation is written by the server as it is held: ask ChatDify, and do not "
            "use this history in RunnableWithMessageHistory"
        )

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> NoReturn:
        """Not possible; see `add_messages`.

        Raises:
            NotImplementedError: Always.
        """
        self.add_messages(messages)

    def clear(self) -> NoReturn:
        """Not possible.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "this history only reads; conversations.delete of dify_api deletes a conversation"
        )

    def _in_order(self, newest_first: Iterable[Message]) -> list[BaseMessage]:
        known = marks(self._connection.app, self.user)
        return StoredTurns(self.conversation_id, known).messages(newest_first)
