"""What errors advise, in the words of who asks: an adapter names its own classes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """The advice for users of `dify_api` itself; each adapter's connection has its own.

    Attributes:
        app_type: What calls which type of app.
        missing_input: Where inputs go; after `Pass inputs={"name": ...}`.
        lost_conversation: How to go on without a conversation.
        paused: How a run goes on that waits for a human.
    """

    app_type: str = (
        "Completion apps answer at completion-messages (completion.send_message), chat, agent and "
        "chatflow apps at chat-messages (chat.send_message), workflow apps at workflows/run "
        "(workflows.run); client.send(application.info()) tells an app's mode."
    )
    missing_input: str = "; application.parameters() lists what the app wants."
    lost_conversation: str = "start a new conversation."
    paused: str = "client.resume(error, values, user=...) fills them, and goes on with the answer."
