"""What a `DifyTool` writes into the event stream of the agent or workflow that calls it.

Iterate the run's events to see them::

handler = agent.run("Which planet has most moons?", ctx=ctx)
async for event in handler.stream_events():
if isinstance(event, DifyToolStreamEvent):
print(event.delta, end="", flush=True)
elif isinstance(event, DifyToolProgressEvent) and isinstance(
event.event, DifyNodeFinishedEvent
):
print(event.event.node.title, event.event.node.elapsed_time)
"""

from __future__ import annotations

from llama_index.core.workflow import Event
from pydantic import SerializeAsAny

from llama_index_dify.events import DifyEvent


class DifyToolEvent(Event):
    """What both share.

    Attributes:
        tool_name: The tool.
        call_id: Tells calls that go on at the same time from each other.
    """

    tool_name: str
    call_id: str


class DifyToolStreamEvent(DifyToolEvent):
    """A piece of the app's answer."""

    delta: str


class DifyToolProgressEvent(DifyToolEvent):
    """What goes on inside the app: a node began or ended, an agent's thought, ..."""

    event: SerializeAsAny[DifyEvent]
