"""What is kept in the store of a run's `Context`, as JSON values, beside what others keep there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.workflow import Context

from dify_api._calls.fingerprints import text_hash, user_fingerprint

if TYPE_CHECKING:  # LlamaIndex's agents take long to import
    from llama_index.core.agent.workflow.agent_context import AgentContext

_CONVERSATIONS = "dify_conversations"


async def kept(context: Context[Any] | AgentContext, key: str) -> dict[str, Any]:
    """What is kept under a key; nothing at first."""
    found: dict[str, Any] | None = await context.store.get(key, default=None)
    return found or {}


async def keep(context: Context[Any] | AgentContext, key: str, name: str, value: Any) -> None:
    """Keep a value under a name, which may be a path of several.

    Raises:
        TypeError: If the workflow has a typed state without a place for it.
    """
    if await context.store.get(key, default=None) is None:
        await _set(context, key, key, {})
    await _set(context, key, f"{key}.{name}", value)


async def _set(context: Context[Any] | AgentContext, key: str, path: str, value: Any) -> None:
    """Write, but not by `edit_state`: that copies all that is there, a run's memory too."""
    try:
        await context.store.set(path, value)
    except (AttributeError, ValueError) as error:
        raise TypeError(
            "what is known of an app is kept in the state of the workflow: give the state's class "
            f"a field {key}: dict[str, Any] = {{}}"
        ) from error


class KeptConversation:
    """The conversation that an agent or a tool has within a `Context`, for an end user.

    Args:
        context: The run.
        holder: Whose it is: the agent or the tool.
        app: Name of the app.
        user: The end user.
    """

    def __init__(
        self, context: Context[Any] | AgentContext, holder: str, app: str, user: str
    ) -> None:
        self._context = context
        self.name = text_hash(f"{holder} {app} {user_fingerprint(user)}")

    async def id(self) -> str | None:
        """Its id; None before its first answer."""
        found: str | None = (await kept(self._context, _CONVERSATIONS)).get(self.name)
        return found

    async def follow(self, conversation_id: str | None) -> None:
        """Remember where the newest answer stands."""
        if conversation_id is not None:
            await keep(self._context, _CONVERSATIONS, self.name, conversation_id)
