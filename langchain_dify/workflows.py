"""A Dify workflow app as a runnable: inputs in, outputs out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
)
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from dify_api._calls.app_tool import AppTool
from dify_api._calls.trace_session import trace_session_of
from dify_api._calls.workflow_call import WorkflowCall
from dify_api._runs.flows import Flow, arun, run
from dify_api.answers.answer import Answer
from dify_api.operation import Operation
from langchain_dify._answers.tracing import anode_tracer, node_tracer
from langchain_dify._answers.workflow_progress import WorkflowOutputs as WorkflowOutputs
from langchain_dify._answers.workflow_progress import outputs, progress
from langchain_dify._arguments import check_call_values, default_user
from langchain_dify._calls.ownership import owning
from langchain_dify._connection import LangChainConnection
from langchain_dify._human_input.streams import aanswering, answering
from langchain_dify._names import MODEL_NAME, HumanInput
from langchain_dify.workflow_runs import AsyncWorkflowRun, WorkflowRun

_OF_A_CALL = {"trace_id", "trace_session_id", "user", "files", "workflow_id"}


class DifyWorkflow(
    LangChainConnection,
    RunnableSerializable[dict[str, Any], dict[str, Any]],
    defer_build=False,
):
    """A Dify workflow app as a runnable: a dict of inputs to a dict of outputs.

    Inputs are checked against the app's form before the request; a file input is a public URL,
    the id of an uploaded file, or a `Path`, which is uploaded. The form is asked for once.

    `stream` yields `{"text": ...}` for text as it is written and `{"nodes": [...]}` for each node
    event, and last the outputs; merged, the chunks are the outputs that `invoke` returns.
    A trace shows the nodes as runs below the workflow's own; `astream_events` and callbacks get
    Dify's events as custom events besides.

    Raises:
        ValueError: If there is no key.
        pydantic.ValidationError: On a call, if an input does not fit the form.
        WorkflowFailedError: If the run fails; `error.answer` holds what there is.
        WorkflowPausedError: If the run waits for a human; `error.forms` are to be filled.
        DifyError: If the server refuses, or the stream breaks.

    Example:
        >>> report = DifyWorkflow(api_key="app-...", user="ann")
        >>> report.invoke({"text": "Saturn", "style": "formal"})
        {'text': 'Saturn is the sixth planet ...'}
        >>> for chunk in report.stream({"text": "Saturn"}):
        ...     print(chunk.get("text", ""), end="")
    """

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    model_name: str = Field(default=MODEL_NAME, min_length=1)
    """What traces and sums of usage call the app, such as its own name. Default: "dify"."""
    trace_id: str | None = None
    """Your trace id, which Dify's own trace then joins (servers since 1.7.0)."""
    trace_session_id: str | None = None
    """The session of your trace, 1 to 200 characters (servers since 1.16.0)."""
    user: str = Field(default_factory=default_user)
    """The end user on whose behalf the app runs. Default: `DIFY_USER`, else "langchain"."""
    inputs: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Values of variables for every run; those of a call stand above them."""
    workflow_id: str | None = None
    """Published version to run (servers since 1.7.2). Its inputs are not checked: the form that
    a server tells is that of the newest version. Default: the newest."""
    human_input: HumanInput = "error"
    """What becomes of a run that asks a human: a `WorkflowPausedError` with the forms, or, in a
    node of a LangGraph graph with a checkpointer, an "interrupt" with them."""
    root_dir: str | Path | None = None
    """Directory below which a file input may be a path as text. Default: paths are `Path`s."""
    _app_tool: AppTool | None = PrivateAttr(default=None)

    def invoke(
        self,
        input: dict[str, Any],  # noqa: A002  # LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run the workflow to its end.

        Args:
            input: Values of the app's variables.
            config: Callbacks, tags and so on.
            **kwargs: `user`, `files` (references for `sys.files`), `workflow_id`, `trace_id` and
                `trace_session_id` of this call.

        Returns:
            The outputs.
        """
        return self._call_with_config(self._outputs, input, config, **kwargs)

    async def ainvoke(
        self,
        input: dict[str, Any],  # noqa: A002  # LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """`invoke` for asyncio."""
        return await self._acall_with_config(self._aoutputs, input, config, **kwargs)

    def stream(
        self,
        input: dict[str, Any],  # noqa: A002  # LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """Run the workflow and yield its progress, then its outputs.

        Leaving the iteration early stops the run.
        """
        yield from self._transform_stream_with_config(
            iter([input]), self._progress, config, **kwargs
        )

    def astream(
        self,
        input: dict[str, Any],  # noqa: A002  # LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[dict[str, Any]]:
        """`stream` for asyncio."""
        begin = partial(self._atransform_stream_with_config, _only(input), self._aprogress)
        return owning(partial(begin, config, **kwargs))

    def start(self, inputs: dict[str, Any], **kwargs: Any) -> WorkflowRun:
        """Begin a run, and leave it to itself as soon as its id is known.

        Args:
            inputs: Values of the app's variables.
            **kwargs: Those of `invoke`.

        Returns:
            The run, to wait for, follow or stop: now, or later by its id (`attach`).

        Raises:
            pydantic.ValidationError: If an input does not fit the form.
            DifyError: If the run does not begin.
        """
        client = self.client
        return WorkflowRun(client.start(run(client, self._traced(inputs, kwargs))))

    async def astart(self, inputs: dict[str, Any], **kwargs: Any) -> AsyncWorkflowRun:
        """`start` for asyncio."""
        client = self.async_client
        operation = await arun(client, self._traced(inputs, kwargs))
        return AsyncWorkflowRun(await client.start(operation))

    def attach(self, workflow_run_id: str, *, user: str | None = None) -> WorkflowRun:
        """Come back to a run by its id, in any process; no request is made yet.

        Args:
            workflow_run_id: The run's id.
            user: The end user who began it. Default: that of this object.

        Raises:
            ValueError: If the id is none of a run's.
        """
        return WorkflowRun(self.client.attach(workflow_run_id, user=user or self.user))

    def aattach(self, workflow_run_id: str, *, user: str | None = None) -> AsyncWorkflowRun:
        """`attach` for asyncio; no request is made yet."""
        return AsyncWorkflowRun(self.async_client.attach(workflow_run_id, user=user or self.user))

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:
        """The app's form as a pydantic model; the app is asked for it once."""
        if self._app_tool is None:
            self._app_tool = run(self.client, self._call(self.user, {}).describe())
        return self._app_tool.inputs_schema

    def _outputs(
        self,
        values: dict[str, Any],
        run_manager: CallbackManagerForChainRun,
        **kwargs: Any,
    ) -> dict[str, Any]:
        chunk: dict[str, Any] = {}
        for chunk in self._progress(iter([values]), run_manager, **kwargs):  # noqa: B007
            pass
        return dict(chunk)

    async def _aoutputs(
        self,
        values: dict[str, Any],
        run_manager: AsyncCallbackManagerForChainRun,
        **kwargs: Any,
    ) -> dict[str, Any]:
        chunk: dict[str, Any] = {}
        progress = self._aprogress(_only(values), run_manager, **kwargs)
        async with aclosing(progress):
            async for chunk in progress:  # noqa: B007
                pass
        return dict(chunk)

    def _progress(
        self,
        values: Iterator[dict[str, Any]],
        run_manager: CallbackManagerForChainRun,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        user = kwargs.get("user") or self.user
        call = self._traced(next(values), kwargs)
        with (
            answering(self.client, call, self.human_input, self.app, user) as stream,
            node_tracer(run_manager, self.model_name, user) as tracer,
        ):
            for event, text in stream.steps():
                if not text:
                    tracer.take(event)
                if chunk := progress(event, text):
                    yield chunk
            tracer.finish(stream)
        yield outputs(stream.answer)

    async def _aprogress(
        self,
        values: AsyncIterator[dict[str, Any]],
        run_manager: AsyncCallbackManagerForChainRun,
        **kwargs: Any,
    ) -> AsyncGenerator[dict[str, Any], None]:
        user = kwargs.get("user") or self.user
        call = self._traced(await values.__anext__(), kwargs)
        async with (
            await aanswering(self.async_client, call, self.human_input, self.app, user) as stream,
            anode_tracer(run_manager, self.model_name, user) as tracer,
            aclosing(stream.steps()) as steps,
        ):
            async for event, text in steps:
                if not text:
                    await tracer.atake(event)
                if chunk := progress(event, text):
                    yield chunk
            await tracer.afinish(stream)
        yield outputs(stream.answer)

    def _traced(
        self, given: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Flow[Operation[Answer]]:
        """The call as a part of the caller's trace."""
        operation = yield from self._prepare(given, arguments)
        return operation.traced(
            arguments.get("trace_id") or self.trace_id,
            trace_session_of(arguments, self.trace_session_id),
        )

    def _prepare(
        self, given: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Flow[Operation[Answer]]:
        """Check the inputs, upload the files among them, and make the call."""
        if unknown := sorted(set(arguments) - _OF_A_CALL):
            raise TypeError(
                f"DifyWorkflow knows no call argument {unknown[0]!r}; it knows "
                f"{', '.join(sorted(_OF_A_CALL))}, and inputs are the first argument"
            )
        check_call_values(arguments)
        if not isinstance(given, Mapping):
            raise TypeError(
                f"DifyWorkflow takes a dict of inputs, not {type(given).__name__}: "
                'give {"name of a variable": its value}'
            )
        call = replace(
            self._call(arguments.get("user") or self.user, {**self.inputs, **given}),
            files=arguments.get("files"),
            workflow_id=arguments.get("workflow_id") or self.workflow_id,
        )
        operation, self._app_tool = yield from call.prepare(self._app_tool)
        return operation

    def _call(self, user: str, inputs: Mapping[str, Any]) -> WorkflowCall:
        return WorkflowCall(inputs, user, name=self.get_name(), root_dir=self.root_dir)


async def _only(value: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield value
