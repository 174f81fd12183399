"""`DifyWorkflow`: a workflow app, from inputs to outputs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypedDict

from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.workflow import Context
from pydantic import BaseModel, SecretStr
from typing_extensions import Unpack

from dify_api._calls.app_tool import AppTool
from dify_api._calls.chat_call import AppCall
from dify_api._calls.fingerprints import user_fingerprint
from dify_api._calls.workflow_call import WorkflowCall
from dify_api._runs.flows import Flow, arun, run
from dify_api.answers.answer import Answer
from dify_api.answers.events import NodeExecution
from dify_api.connection import ConnectionOptions
from dify_api.operation import require_uuid
from llama_index_dify._base import default_user
from llama_index_dify._calls.resumed_call import ReadyCall, ResumedCall, Resumption
from llama_index_dify._connected import LlamaIndexConnected
from llama_index_dify._human_input.waiting import answered
from llama_index_dify._tool_app import DifyApp
from llama_index_dify._traced import traced, user_of
from llama_index_dify.events import DifyEvent
from llama_index_dify.workflow_response import DifyWorkflowResponse
from llama_index_dify.workflow_run import (
    DifyWorkflowRun,
    aevents_of,
    ended_nodes,
    events_of,
    response_to,
)


class RunOptions(TypedDict, total=False):
    """What a run takes beside its inputs.

    Attributes:
        user: The end user. Default: that of the workflow.
        files: References for the workflow's `sys.files`, as `files.reference(...)` makes them.
        workflow_id: Published version to run (servers since 1.7.2); its inputs are not checked.
        trace_id: Your trace id, for Dify's own tracing.
        trace_session_id: The session of your trace, 1 to 200 characters.
    """

    user: str
    files: Sequence[Mapping[str, Any]]
    workflow_id: str
    trace_id: str
    trace_session_id: str


class DifyWorkflow:
    """A workflow app: a dict of inputs to a `DifyWorkflowResponse` with the outputs.

    Inputs are checked against the app's form before the request; a file input is a public URL,
    the id of an uploaded file, or a `Path`, which is uploaded. The form is asked for once.

    A run is reported as a model's call: LLM events, spans and token counts, nodes as
    `llama_index_dify.events`. For agents there is `DifyTool`, which raises nothing.

    Args:
        api_key: Key of the app. Default: `DIFY_API_KEY`.
        user: The end user. Default: `DIFY_USER`, else "llama-index".
        inputs: Values of variables for every run; those of a run stand above them.
        workflow_id: Published version to run. Default: the newest.
        root_dir: Directory below which a file input may be a path as text.
        model_name: What traces call the app, such as its own name.
        callback_manager: Receives the LLM events. Default: that of `Settings`.
        **options: Address, limits, headers and so on, as in `Dify`.

    Raises:
        ValueError: If there is no key.
        pydantic.ValidationError: On a run, if an input does not fit the form.
        WorkflowFailedError: If the run fails; `error.answer` holds what there is.
        WorkflowPausedError: If the run waits for a human; `error.forms` are to be filled:
            `workflow.attach(error.workflow_run_id).resume(values)`.
        DifyError: If the server refuses, or the stream breaks.

    Example:
        >>> report = DifyWorkflow(api_key="app-...", user="ann")
        >>> response = report.run({"text": "Saturn", "style": "formal"})
        >>> response.outputs, [node.title for node in response.nodes]
        ({'text': 'Saturn is the sixth planet ...'}, ['Start', 'Write', 'End'])
        >>> for event in report.stream({"text": "Saturn"}):
        ...     if isinstance(event, DifyTextEvent):
        ...         print(event.delta, end="")
    """

    def __init__(
        self,
        *,
        api_key: SecretStr | str | None = None,
        user: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        workflow_id: str | None = None,
        root_dir: str | Path | None = None,
        model_name: str = "dify",
        callback_manager: CallbackManager | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.user = user or default_user()
        self.inputs = dict(inputs or {})
        self.workflow_id = workflow_id
        self.root_dir = root_dir
        self.model_name = model_name
        self._callback_manager = callback_manager
        self._connection = LlamaIndexConnected.of(api_key, **options)
        self._connection.key  # noqa: B018  # raises where there is none
        self._form: AppTool | None = None

    def __repr__(self) -> str:
        return f"DifyWorkflow(base_url={self._connection.base_url!r})"

    @property
    def inputs_schema(self) -> type[BaseModel]:
        """The app's form as a pydantic model; the app is asked for it once."""
        if self._form is None:
            call = self._call({}, {})
            self._form = run(self._app(self.user).client, call.describe())
        return self._form.inputs_schema

    @traced
    def run(
        self, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> DifyWorkflowResponse:
        """Run the workflow to its end.

        Args:
            inputs: Values of the app's variables.
            **options: For this run; see `RunOptions`.
        """
        app = self._app(user_of(options, self.user))
        return response_to(app, run(app.client, self._prepare(inputs, options)))

    @traced
    async def arun(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        ctx: Context[Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> DifyWorkflowResponse:
        """`run` for asyncio.

        Args:
            inputs: Values of the app's variables.
            ctx: The run of a LlamaIndex workflow, in a step of it. Where the app waits for a
                person, a `DifyInputRequiredEvent` goes into the run's events and the step waits
                for its response. LlamaIndex then executes the step again; the app it does not.
            **options: For this run; see `RunOptions`.
        """
        user = user_of(options, self.user)
        nodes: list[NodeExecution] = []

        async def make(resumption: Resumption | None) -> Answer:
            app, told = self._app(user), list[DifyEvent]()
            call: ReadyCall
            if resumption is None:
                call = await arun(app.async_client, self._prepare(inputs, options))
            else:
                call = ResumedCall(resumption, user)
            try:
                await app.aanswer(None, call, told.append)
            finally:
                nodes.extend(ended_nodes(told))
            return app.whole_answer

        if ctx is None:
            answer = await make(None)
        else:
            asked = [self._connection.app, user_fingerprint(user), inputs]
            answer = await answered(ctx, make, app=self.model_name, asked=asked, nodes=nodes)
        return DifyWorkflowResponse.of(answer, nodes)

    def stream(
        self, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> Generator[DifyEvent, None, None]:
        """Run the workflow and iterate what goes on. Leaving early stops the run.

        Yields:
            `DifyTextEvent`s for text as it is written, the other events of
            `llama_index_dify.events` for nodes and the like, and last a
            `DifyWorkflowResponseEvent`, whose `response` is what `run` returns.
        """
        app = self._app(user_of(options, self.user))
        yield from events_of(app, run(app.client, self._prepare(inputs, options)))

    async def astream(
        self, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> AsyncGenerator[DifyEvent, None]:
        """`stream` for asyncio; close it (`aclosing`) where you leave early."""
        app = self._app(user_of(options, self.user))
        call = await arun(app.async_client, self._prepare(inputs, options))
        async with aclosing(aevents_of(app, call)) as events:
            async for event in events:
                yield event

    # Runs that are left and come back to ----------------------------------------------------------

    def start(
        self, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> DifyWorkflowRun:
        """Begin a run and leave it to itself; return as soon as its id is known.

        Args:
            inputs: Values of the app's variables.
            **options: For this run; see `RunOptions`.
        """
        app = self._app(user_of(options, self.user))
        call = run(app.client, self._prepare(inputs, options))
        return DifyWorkflowRun(app, app.client.start(call.operation).workflow_run_id)

    async def astart(
        self, inputs: Mapping[str, Any] | None = None, **options: Unpack[RunOptions]
    ) -> DifyWorkflowRun:
        """`start` for asyncio."""
        app = self._app(user_of(options, self.user))
        client = app.async_client
        call = await arun(client, self._prepare(inputs, options))
        return DifyWorkflowRun(app, (await client.start(call.operation)).workflow_run_id)

    def attach(self, workflow_run_id: str, *, user: str | None = None) -> DifyWorkflowRun:
        """Come back to a run by its id; no request is made yet.

        Args:
            workflow_run_id: From `DifyWorkflowRun`, or from a `WorkflowPausedError`.
            user: The end user who began it. Default: that of the workflow.

        Raises:
            ValueError: If the id is no UUID.
        """
        require_uuid(workflow_run_id, "workflow_run_id")
        return DifyWorkflowRun(self._app(user or self.user), workflow_run_id)

    # Details ------------------------------------------------------------------------------------

    def _app(self, user: str) -> DifyApp:
        return DifyApp.over(self._connection, user, self.model_name, self._callback_manager)

    def _call(self, inputs: Mapping[str, Any], options: RunOptions) -> WorkflowCall:
        return WorkflowCall(
            {**self.inputs, **inputs},
            user_of(options, self.user),
            options.get("files"),
            options.get("workflow_id") or self.workflow_id,
            self.model_name,
            self.root_dir,
        )

    def _prepare(self, inputs: Mapping[str, Any] | None, options: RunOptions) -> Flow[AppCall]:
        """Check the inputs, upload the files among them, and make the call."""
        if unknown := sorted(set(options) - set(RunOptions.__annotations__)):
            raise TypeError(
                f"DifyWorkflow knows no call argument {unknown[0]!r}; it knows "
                f"{', '.join(RunOptions.__annotations__)}, and inputs are the first argument"
            )
        if inputs is not None and not isinstance(inputs, Mapping):
            raise TypeError(
                f"DifyWorkflow takes a dict of inputs, not {type(inputs).__name__}: "
                'give {"name of a variable": its value}'
            )
        call = self._call(inputs or {}, options)
        operation, self._form = yield from call.prepare(self._form)
        traced = operation.traced(options.get("trace_id"), options.get("trace_session_id"))
        return AppCall(traced)
