"""What both edges of a streamed answer share: the reader, the turn, whether to stop the run."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from dify_api._runs.steps import Follow, Plan, Step
from dify_api._transport.failures import broken_connection, timed_out
from dify_api._transport.stops import is_stopped_here
from dify_api._transport.turns import TURNS, Key, Turn
from dify_api.answers._reader import AnswerReader
from dify_api.answers._reader import Step as AnswerStep
from dify_api.answers.answer import Answer
from dify_api.connection import DifyConnection
from dify_api.endpoints import chat
from dify_api.errors import DifyError
from dify_api.operation import Operation


class StreamState:
    """A streamed answer, without the reading of its bytes.

    Args:
        operation: The call that it answers, as errors name it; how to stop it.
        connection: How the server is reached.
        plan: Makes its course.
        before: What there is of the answer already.
    """

    def __init__(
        self,
        operation: Operation[Answer],
        connection: DifyConnection,
        plan: Plan,
        before: Answer | None = None,
    ) -> None:
        self._operation = operation
        self._connection = connection
        self._turn: Turn | None = None
        self._began = 0.0
        self._reader = AnswerReader(operation.name, connection.progress_timeout, before)
        self._reader.advice = connection.advice
        self._course = plan(self._reader)
        self._bodies = 0  # begun
        self._seeks = False  # whether an answer that broke off is looked for
        self._cause: Exception | None = None  # what broke the last one
        self._is_deleted = False  # the conversation
        self._is_entered = False
        self._is_sent = False  # the request that begins it
        self._ended = False  # by the server, or broken: nothing more can be read
        self._is_whole = False  # ended by the server
        self._is_over = False  # nothing more comes
        self._finished: Answer | None = None  # the answer, once it has ended well
        self._stops = operation.stop_path is not None
        self._closed = False
        self._process = os.getpid()

    @property
    def answer(self) -> Answer:
        """The answer as far as it has come: whole once the iteration has ended."""
        return self._finished or self._reader.builder.build()

    @property
    def task_id(self) -> str | None:
        """The task to stop; known from the first event on."""
        return self._reader.builder.task_id

    def detach(self) -> None:
        """Let the run go on when the stream is left."""
        self._operation = replace(self._operation, stop_path=None)
        self._stops = False

    def _require_entered(self) -> None:
        if not self._is_entered:
            raise RuntimeError("enter the stream first: with client.stream(...) as stream: ...")

    def _take_failure(self, error: Exception) -> Exception:
        """What broke the connection; anything else is raised again."""
        cause = broken_connection(error)
        self._reader.look_at_clock()
        self._ended = True
        # A server that fell silent may go on generating; one that hung up has ended, or a run
        # goes on that can be attached to again.
        self._stops = self._stops and timed_out(error)
        return cause

    def _take_end(self) -> None:
        self._ended = self._is_whole = True
        self._stops = False

    def _next_step(self, came: object, failed: DifyError | None = None) -> Step | None:
        """The next step of the course; None once it is over.

        Args:
            came: What came of the step before.
            failed: How it failed, if it did.
        """
        self._seeks = False
        try:
            step = self._course.throw(failed) if failed else self._course.send(came)
            self._seeks = self._bodies > 0
            return step
        except StopIteration:
            return None
        except DifyError as error:
            if error.answer is None and self._reader.builder.is_begun:
                error.answer = self.answer
            raise

    def _begin_body(self, content_type: str, follow: Follow) -> None:
        """Begin with a body."""
        if self._bodies:
            self._cause, self._ended, self._is_whole = None, False, False
            self._stops = self._operation.stop_path is not None
        if not follow.begins:
            self._reader.go_on(follow.patience)
        self._reader.expect(content_type)
        self._bodies += 1
        if follow.begins:
            self._note_begin()

    def _rest(self) -> list[AnswerStep]:
        """The events that the end of a body leaves open."""
        try:
            return self._reader.end(is_whole=self._is_whole)
        except DifyError as error:
            if self._bodies == 1:
                raise
            self._cause = error  # what was attached to is no stream
            return []

    def _finish(self) -> None:
        """Judge how the answer ended.

        Raises:
            DifyError: If it did not succeed.
        """
        ids = (self.task_id, self._reader.builder.workflow_run_id)
        self._reader.is_stopped_here = any(is_stopped_here(name) for name in ids)
        self._finished = self._reader.finish(self._cause)

    def _key(self, conversation_id: str) -> Key:
        return (self._connection.app, conversation_id)

    def _note_begin(self) -> None:
        """The message has been created by now, however long the way there was."""
        self._began = time.monotonic()
        if self._turn is not None:
            self._turn.begin()

    def _hold_first_turn(self) -> None:
        """A new conversation has its id now: its next turn waits for this one."""
        operation = self._operation
        if self._turn is not None or operation.stop_path is None or operation.method != "POST":
            return
        builder = self._reader.builder
        if builder.conversation_id:
            key = self._key(builder.conversation_id)
            if builder.message_end is None:  # else it has ended already
                self._turn = TURNS.hold(key)
            TURNS.note(key, self._began)

    def _end_turn(self) -> None:
        """The answer is complete, or left: the next turn may come."""
        if self._turn is not None:
            self._turn.leave()

    def _is_leaving(self) -> None:
        self._closed = True
        if self._turn is not None:
            self._turn.is_ending = True

    @property
    def _stopped(self) -> Operation[Answer]:
        """The call, with the way to stop it; which one a run attached to has is told by it."""
        operation = self._operation
        if operation.method == "GET" and self._reader.builder.message_id:
            return replace(operation, stop_path=chat.STOP_PATH)
        return operation

    @property
    def _runs_on(self) -> bool:
        """Whether the server goes on if it is not stopped; a run that asks a human waits."""
        waits = bool(self._reader.builder.forms)
        stops = self._stops or (self._seeks and self._operation.stop_path is not None)
        return stops and not self._reader.is_settled and not waits

    @property
    def _is_unknown(self) -> bool:
        """Whether what runs on could be stopped if more of the stream were read."""
        goes_on = self._is_sent and self._runs_on and not self._ended
        return goes_on and self.task_id is None

    @property
    def _leaves_nothing(self) -> bool:
        """Whether the body was read to its end, and nobody is to be told that it is left."""
        return self._is_whole and not self._runs_on and self._operation.delete_path is None

    def _conversation_to_delete(self) -> str | None:
        """The conversation that is not to outlive its answer, once."""
        if self._operation.delete_path is None or self._is_deleted:
            return None
        if self._reader.builder.paused:  # its run goes on in it once the form is filled
            return None
        self._is_deleted = True
        return self._reader.builder.conversation_id
