"""A run of a workflow or chatflow: its state, and those who watch it.

A run lives apart from the request that began it. Whoever watches gets its events from then on; when
nobody does, it goes on all the same, and what it has made is kept.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

from dify_local._protocol.events import PING, EventSource
from dify_local._protocol.values import JsonObject, new_id
from dify_local._runs.generation import Generation
from dify_local._runs.human_input import HumanInputForm
from dify_local._runs.nodes import Node

_Queue = asyncio.Queue[JsonObject | None]


@dataclass
class WorkflowRun:
    """One run.

    Attributes:
        generation: What is asked, and the text so far.
        variables: The inputs with the system variables.
        id: `workflow_run_id`.
        status: `running`, `succeeded`, `failed`, `stopped` or `paused`.
        error: Why it failed or stopped.
        outputs: What it has made; empty until it has succeeded.
        nodes: The nodes so far.
        form: The form it waits for, or waited for.
        further: Forms that it waits for beside that one, in parallel branches.
        answered: Forms that were answered since it paused.
        earlier: Forms that it does not wait for any more, oldest first.
        is_resuming: Whether it was told to go on and has not yet: snapshots still show the pause.
        files: Files of the answer, as file objects.
        reasoning: What the model has thought, where that is separated from its answer.
        finished_at: When it ended, in epoch seconds.
        values: What each node of an app of one's own has given, for references.
        position: Which of that app's nodes it waits at.
    """

    generation: Generation
    variables: JsonObject = field(default_factory=dict)
    id: str = field(default_factory=new_id)
    status: str = "running"
    error: str | None = None
    outputs: JsonObject = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    form: HumanInputForm | None = None
    further: list[HumanInputForm] = field(default_factory=list)
    answered: list[HumanInputForm] = field(default_factory=list)
    earlier: list[HumanInputForm] = field(default_factory=list)
    is_resuming: bool = False
    files: list[JsonObject] = field(default_factory=list)
    finished_at: int | None = None
    values: dict[str, JsonObject] = field(default_factory=dict)
    position: int = 0
    reasoning: str = ""

    def __post_init__(self) -> None:
        # Weak, because a response may be dropped before it has begun to iterate.
        self._watchers: weakref.WeakSet[_Queue] = weakref.WeakSet()
        self._watched = asyncio.Event()

    @property
    def chatflow(self) -> bool:
        """Tell whether this is a chatflow's run."""
        return self.generation.app.mode == "advanced-chat"

    @property
    def forms(self) -> list[HumanInputForm]:
        """Return the forms it waits for, or waited for."""
        return [self.form, *self.further] if self.form else []

    @property
    def all_forms(self) -> list[HumanInputForm]:
        """Return all forms that it has shown, oldest first."""
        return [*self.earlier, *self.forms]

    def wait_for(self, forms: Iterable[HumanInputForm]) -> None:
        """Pause for other forms; those before are known from now on as answered."""
        shown = list(forms)
        self.earlier += [form for form in self.forms if form not in shown]
        self.form, *self.further = shown
        self.status = "paused"

    def choose(self, form: HumanInputForm) -> None:
        """Make one of the forms the one that is answered now."""
        self.further = [other for other in self.forms if other is not form]
        self.form = form

    def begin(self, node_id: str, node_type: str, title: str) -> Node:
        """Add a node that begins now."""
        node = Node(node_id, node_type, title)
        self.nodes.append(node)
        return node

    def publish(self, event: JsonObject | None) -> None:
        """Give an event to all who watch; None says that the run has ended or pauses."""
        for queue in list(self._watchers):
            queue.put_nowait(event)

    def watch(self, *, continue_on_pause: bool = False) -> EventSource:
        """Yield the events from the moment of this call, until the run ends or pauses.

        Args:
            continue_on_pause: Stay over a pause.
        """
        queue: _Queue = asyncio.Queue()
        self._watchers.add(queue)
        self._watched.set()
        return self._events(queue, continue_on_pause)

    async def _events(
        self, queue: _Queue, continue_on_pause: bool
    ) -> AsyncGenerator[JsonObject, None]:
        interval = self.generation.pace.ping_interval
        try:
            while True:
                try:
                    # Waiting costs more than taking what is there.
                    ready = not queue.empty()
                    event = (
                        queue.get_nowait()
                        if ready
                        else await asyncio.wait_for(queue.get(), interval)
                    )
                except asyncio.TimeoutError:
                    yield PING
                    continue
                if event is not None:
                    yield event
                elif not (continue_on_pause and self.status == "paused"):
                    return
        finally:
            self._watchers.discard(queue)

    async def wait_for_watcher(self, timeout: float) -> None:
        """Wait until somebody watches, but not longer than some seconds."""
        if self._watchers:
            return
        self._watched.clear()
        try:
            await asyncio.wait_for(self._watched.wait(), timeout)
        except asyncio.TimeoutError:
            return

    def finished_data(self) -> JsonObject:
        """Return the data of `workflow_finished`."""
        generation = self.generation
        failed = self.status == "failed"
        return {
            "id": self.id,
            "workflow_id": generation.app.workflow_id,
            "status": self.status,
            "outputs": self.outputs,
            "error": self.error,
            "elapsed_time": generation.elapsed(),
            "total_tokens": 0 if failed else generation.usage()["total_tokens"],
            "total_steps": len(self.nodes),
            "created_by": generation.end_user.created_by(),
            "created_at": generation.created_at,
            "finished_at": self.finished_at,
            "exceptions_count": 1 if failed else 0,
            "files": self.files,
        }
