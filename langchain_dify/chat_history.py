"""A conversation on the server as a chat message history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import SecretStr
from typing_extensions import Unpack

from dify_api._calls.conversation import user_fingerprint
from dify_api.connection import ConnectionOptions
from dify_api.endpoints.messages import Message, list_messages
from dify_api.models import RetrieverResource
from langchain_dify._answers.metadata import MODEL_PROVIDER, as_json
from langchain_dify._arguments import default_user
from langchain_dify._connection import LangChainConnected

_PAGE = 100  # the most that servers give at once


class DifyChatMessageHistory(BaseChatMessageHistory):
    """Reads a conversation that Dify keeps (`GET /messages`), oldest message first.

    Its answers carry the ids by which `ChatDify` continues the conversation, so that
    `model.invoke([*history.messages, HumanMessage("And then?")])` sends the new question alone.
    It cannot be written: the server writes each turn itself as it is made.

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
        oldest_first = reversed(list(newest_first))
        return [side for message in oldest_first for side in self._sides(message)]

    def _sides(self, message: Message) -> tuple[HumanMessage, AIMessage]:
        """The question and the answer of one of Dify's messages."""
        return (
            HumanMessage(
                message.query,
                id=f"{message.id}-query",
                additional_kwargs=_files(message, of_user=True),
            ),
            AIMessage(
                message.answer or "".join(t.answer or "" for t in message.agent_thoughts),
                id=message.id,
                response_metadata={
                    "model_provider": MODEL_PROVIDER,
                    "conversation_id": message.conversation_id or self.conversation_id,
                    "app": self._connection.app,
                    "user": user_fingerprint(self.user),
                    **_facts(message),
                    **_files(message, of_user=False),
                },
                usage_metadata=_usage(message),
            ),
        )


def _facts(message: Message) -> dict[str, object]:
    """What answers carry in their metadata too, as far as the server keeps it."""
    facts = {
        "created_at": message.created_at.isoformat() if message.created_at else None,
        "retriever_resources": [_citation(found) for found in message.retriever_resources],
        "status": message.status if message.status != "normal" else None,
        "error": message.error,
        "total_price": str(message.total_price) if message.total_price is not None else None,
        "currency": message.currency,
    }
    return {name: value for name, value in facts.items() if value}


def _citation(resource: RetrieverResource) -> dict[str, object]:
    """A citation as answers carry it, without the ids that are new at each reading."""
    facts = as_json(resource)
    return {name: fact for name, fact in facts.items() if name not in ("id", "message_id")}


def _files(message: Message, *, of_user: bool) -> dict[str, object]:
    files = [f for f in message.message_files if (f.belongs_to == "user") == of_user]
    return {"files": [as_json(file) for file in files]} if files else {}


def _usage(message: Message) -> UsageMetadata | None:
    """Token counts, which servers tell since 1.16.0."""
    if message.message_tokens is None or message.answer_tokens is None:
        return None
    return UsageMetadata(
        input_tokens=message.message_tokens,
        output_tokens=message.answer_tokens,
        total_tokens=message.message_tokens + message.answer_tokens,
    )
