"""Runs of a workflow that were started and left, to come back to later."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from dify_api._transport.started_runs import AsyncStartedRun, StartedRun
from langchain_dify._answers.workflow_progress import outputs, progress


class WorkflowRun:
    """A run that goes on by itself: `DifyWorkflow.start`, or `DifyWorkflow.attach` by its id.

    Example:
        >>> run = report.start({"text": "Saturn"})
        >>> run.workflow_run_id  # keep it, with the user
        '5f2d3f0e-...'
        >>> report.attach("5f2d3f0e-...").wait()  # here or in another process
        {'text': 'Saturn is the sixth planet ...'}
    """

    def __init__(self, run: StartedRun) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_run_id!r})"

    @property
    def workflow_run_id(self) -> str:
        """The id of the run."""
        return self._run.workflow_run_id

    def wait(self) -> dict[str, Any]:
        """Wait for the end of the run, and return its outputs.

        Raises:
            WorkflowPausedError: If the run waits for a human.
            WorkflowFailedError: If it failed.
            DifyError: If it is unknown, or the server refuses.
        """
        return dict(outputs(self._run.wait()))

    def stream(self) -> Iterator[dict[str, Any]]:
        """Yield the progress of the run from now on, then its outputs, as `DifyWorkflow.stream`.

        Leaving the iteration leaves the run as it is.
        """
        with self._run.stream() as stream:
            for event, text in stream.steps():
                if chunk := progress(event, text):
                    yield chunk
        yield outputs(stream.answer)

    def stop(self) -> None:
        """Stop the run; one that has ended stays so.

        Raises:
            DifyError: If it is unknown, or the server cannot be reached.
        """
        self._run.stop()


class AsyncWorkflowRun:
    """`WorkflowRun` for asyncio: `DifyWorkflow.astart`, or `DifyWorkflow.aattach`."""

    def __init__(self, run: AsyncStartedRun) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_run_id!r})"

    @property
    def workflow_run_id(self) -> str:
        """The id of the run."""
        return self._run.workflow_run_id

    async def wait(self) -> dict[str, Any]:
        """Wait for the end of the run, and return its outputs."""
        return dict(outputs(await self._run.wait()))

    async def stream(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the progress of the run from now on, then its outputs."""
        async with self._run.stream() as stream, aclosing(stream.steps()) as steps:
            async for event, text in steps:
                if chunk := progress(event, text):
                    yield chunk
        yield outputs(stream.answer)

    async def stop(self) -> None:
        """Stop the run; one that has ended stays so."""
        await self._run.stop()
