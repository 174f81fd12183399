"""Apps that wait for a person, in LlamaIndex's workflows and agents. Each is asked once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.workflow_events import ToolCallResult
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from llama_index.core.workflow import (
    Context,
    Event,
    JsonSerializer,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)
from llama_index.core.workflow.retry_policy import ConstantDelayRetryPolicy
from pydantic import BaseModel

from dify_api.errors import WorkflowPausedError
from dify_local import LocalDify
from llama_index_dify import (
    Dify,
    DifyChatEngine,
    DifyHumanResponseEvent,
    DifyInputRequiredEvent,
    DifyTool,
    DifyToolStreamEvent,
    DifyWorkflow,
)
from tests.llama_index_dify.function_calling import ScriptedLLM
from tests.llama_index_dify.support import recorded_spans

APPROVED = {"comment": "Fine.", "action": "approve"}


def generations(local: LocalDify) -> int:
    """How often an app was asked."""
    paths = ("/workflows/run", "/chat-messages")
    return sum(request.path.endswith(paths) for request in local.requests)


class Part(Event):
    text: str


class Answered(Event):
    text: str


class Approval(Workflow):
    """A step that asks apps."""

    def __init__(self, ask: Callable[[Context[Any]], Any]) -> None:
        super().__init__(timeout=30)
        self._ask = ask

    @step
    async def approve(self, ctx: Context, ev: StartEvent) -> StopEvent:
        return StopEvent(result=await self._ask(ctx))


@pytest.fixture
def report(local: LocalDify) -> DifyWorkflow:
    return DifyWorkflow(api_key=local.keys["workflow"], base_url=local.base_url, user="ann")


async def answer_all(
    handler: Any, values: dict[str, Any] = APPROVED
) -> tuple[Any, list[DifyInputRequiredEvent]]:
    """Answer whatever is asked; what came of the run, and what was asked."""
    asked = []
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            asked.append(event)
            handler.ctx.send_event(event.response(values))
    return await handler, asked


async def next_asked(handler: Any, count: int) -> list[DifyInputRequiredEvent]:
    """The next events that ask."""
    asked: list[DifyInputRequiredEvent] = []
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            asked.append(event)
            if len(asked) == count:
                break
    return asked


async def test_a_step_waits_and_goes_on(report: DifyWorkflow, local: LocalDify) -> None:
    workflow = Approval(lambda ctx: report.arun({"text": "/pause The draft. "}, ctx=ctx))
    response, asked = await answer_all(workflow.run())
    assert generations(local) == 1
    assert response.outputs["text"].startswith("The draft.")
    assert "Fine." in response.outputs["text"]
    assert [event.app for event in asked] == ["dify"]
    assert asked[0].text == "The draft."
    assert asked[0].workflow_run_id == response.workflow_run_id
    assert asked[0].forms[0].inputs[0].output_variable_name == "comment"
    titles = [node.title for node in response.nodes]
    assert len(titles) == len(set(titles)) >= 4  # those before the pause and those after it


async def test_without_a_context_the_error_stays(report: DifyWorkflow) -> None:
    with pytest.raises(WorkflowPausedError) as paused:
        await report.arun({"text": "/pause The draft. "})
    assert paused.value.forms
    assert paused.value.answer is not None
    assert paused.value.answer.text == "The draft."


async def test_calls_before_a_pause_are_not_repeated(
    report: DifyWorkflow, local: LocalDify
) -> None:
    async def ask(ctx: Context[Any]) -> list[str]:
        texts = ["/echo one", "/echo one", "/pause two ", "/pause three "]
        responses = [await report.arun({"text": text}, ctx=ctx) for text in texts]
        return [response.outputs["text"] for response in responses]

    result, asked = await answer_all(Approval(ask).run())
    assert generations(local) == 4
    assert len(asked) == 2
    assert result[:2] == ["one", "one"]
    assert result[2].startswith("two")
    assert result[3].startswith("three")


async def test_what_is_filled_in_wrongly_is_asked_again(
    report: DifyWorkflow, local: LocalDify
) -> None:
    workflow = Approval(lambda ctx: report.arun({"text": "/pause The draft. "}, ctx=ctx))
    handler = workflow.run()
    errors = []
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            errors.append(event.error)
            with pytest.raises(ValueError, match="comment is missing"):
                event.response({"action": "approve"})
            values = {"comment": "Fine.", "action": "shred"} if len(errors) == 1 else APPROVED
            wrong = DifyHumanResponseEvent(pause_id=event.pause_id, form_values=values)
            handler.ctx.send_event(wrong)
    assert "Fine." in (await handler).outputs["text"]
    assert errors[0] is None
    assert "choose one of approve, reject" in errors[1]
    assert generations(local) == 1


async def test_the_pause_outlives_the_process(report: DifyWorkflow, local: LocalDify) -> None:
    """As far as the `Context` as JSON goes; an example does it with two processes."""

    def make() -> Approval:
        def ask(ctx: Context[Any]) -> Any:
            return report.arun({"text": "/pause The draft. "}, user="ann@example.com", ctx=ctx)

        return Approval(ask)

    handler = make().run()
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            break
    kept = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    await handler.cancel_run()
    assert "ann@example.com" not in kept
    workflow = make()
    context = Context.from_dict(workflow, json.loads(kept), serializer=JsonSerializer())
    response, asked = await answer_all(workflow.run(ctx=context))
    assert asked == [event]  # again
    assert "Fine." in response.outputs["text"]
    assert generations(local) == 1
    assert len(response.nodes) >= 4


@pytest.mark.parametrize("at_once", [True, False])
async def test_forms_of_parallel_branches(
    at_once: bool, report: DifyWorkflow, local: LocalDify
) -> None:
    workflow = Approval(lambda ctx: report.arun({"text": "/pause One || Two"}, ctx=ctx))
    handler = workflow.run()
    asked: list[list[str | None]] = []
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            asked.append([form.node_id for form in event.forms])
            filled_in = event.forms if at_once else event.forms[:1]
            values = {form.form_token or "": APPROVED for form in filled_in}
            handler.ctx.send_event(event.response(values))
    response = await handler
    assert [len(nodes) for nodes in asked] == ([2] if at_once else [2, 1])
    assert response.outputs["text"].count("Fine.") == 2
    assert generations(local) == 1
    assert len({node.id for node in response.nodes}) == len(response.nodes)


async def test_several_pauses_across_processes(report: DifyWorkflow, local: LocalDify) -> None:
    """Two calls in two steps at once, each paused twice, the context saved at every pause."""

    class Both(Workflow):
        @step
        async def begin(self, ctx: Context, ev: StartEvent) -> Part | None:
            for text in ("/pause One || Two", "/pause Three || Four"):
                ctx.send_event(Part(text=text))
            return None

        @step
        async def ask(self, ctx: Context, ev: Part) -> Answered:
            response = await report.arun({"text": ev.text}, ctx=ctx)
            return Answered(text=response.outputs["text"])

        @step
        async def end(self, ctx: Context, ev: Answered) -> StopEvent | None:
            found = ctx.collect_events(ev, [Answered] * 2)
            return StopEvent(result=[event.text for event in found]) if found else None

    def one_form(event: DifyInputRequiredEvent) -> DifyHumanResponseEvent:
        return event.response({event.forms[0].form_token or "": APPROVED})

    async def in_another_process(handler: Any) -> Any:
        kept = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
        await handler.cancel_run()
        workflow = Both(timeout=30)
        context = Context.from_dict(workflow, json.loads(kept), serializer=JsonSerializer())
        return workflow.run(ctx=context)

    handler = Both(timeout=30).run()
    asked = await next_asked(handler, 2)
    for forms in (4, 3, 2):
        handler = await in_another_process(handler)
        again = await next_asked(handler, 2)
        assert {event.pause_id for event in again} == {event.pause_id for event in asked}
        assert sum(len(event.forms) for event in again) == forms
        left, answered = sorted(again, key=lambda event: len(event.forms))
        handler.ctx.send_event(one_form(answered))
        if forms > 2:
            asked = [left, *await next_asked(handler, 1)]
        else:
            handler.ctx.send_event(one_form(left))
    result = await handler
    assert sorted(text.count("Fine.") for text in result) == [2, 2]
    assert generations(local) == 2


async def test_a_form_that_expired_is_no_end(report: DifyWorkflow, local: LocalDify) -> None:
    expired = {"code": "human_input_form_expired", "message": "This form has expired"}
    local.fault("status", path="/form/human_input", status=412, body=expired)
    workflow = Approval(lambda ctx: report.arun({"text": "/pause The draft. "}, ctx=ctx))
    response, _ = await answer_all(workflow.run())
    assert "Fine." in response.outputs["text"]  # the run was looked for, and waited still
    assert generations(local) == 1


async def test_a_failed_run_is_not_begun_again(report: DifyWorkflow, local: LocalDify) -> None:
    """By a step that LlamaIndex tries again: the form is taken, and the run followed."""

    class Retried(Workflow):
        @step(retry_policy=ConstantDelayRetryPolicy(delay=0.01, maximum_attempts=3))
        async def write(self, ctx: Context, ev: StartEvent) -> StopEvent:
            response = await report.arun({"text": "/pause The draft. "}, ctx=ctx)
            return StopEvent(result=response.outputs["text"])

    local.fault("status", path="/events", status=403)
    text, _ = await answer_all(Retried(timeout=30).run())
    assert "Fine." in text
    assert generations(local) == 1


class TypedState(BaseModel):
    topic: str = ""


class StateWithAPlace(TypedState):
    dify_paused_calls: dict[str, Any] = {}


async def test_a_typed_state_needs_a_place(report: DifyWorkflow, local: LocalDify) -> None:
    class Typed(Workflow):
        @step
        async def write(self, ctx: Context[TypedState], ev: StartEvent) -> StopEvent:
            return StopEvent(result=await report.arun({"text": ev.text}, ctx=ctx))

    class WithAPlace(Workflow):
        @step
        async def write(self, ctx: Context[StateWithAPlace], ev: StartEvent) -> StopEvent:
            return StopEvent(result=await report.arun({"text": ev.text}, ctx=ctx))

    assert (await Typed().run(text="/echo Hello")).outputs["text"] == "Hello"
    with pytest.raises(WorkflowPausedError) as paused:
        await Typed().run(text="/pause The draft. ")
    assert "dify_paused_calls: dict[str, Any] = {}" in str(paused.value.__cause__)
    response, _ = await answer_all(WithAPlace(timeout=30).run(text="/pause The draft. "))
    assert "Fine." in response.outputs["text"]
    assert generations(local) == 3


# Agents and tools ---------------------------------------------------------------------------------


def _tool(local: LocalDify, app: str, **options: Any) -> DifyTool:
    tool = DifyTool.from_app(api_key=local.keys[app], base_url=local.base_url, **options)
    local.clear_requests()
    return tool


def _agent(tool: DifyTool, **arguments: Any) -> AgentWorkflow:
    llm = ScriptedLLM(tool_name=tool.metadata.get_name(), arguments=arguments)
    return AgentWorkflow(agents=[FunctionAgent(tools=[tool], llm=llm)])


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        ("workflow", {"text": "/pause The draft. "}),
        ("advanced-chat", {"query": "/pause The draft. "}),
    ],
)
async def test_a_tool_of_an_agent_waits(
    app: str, arguments: dict[str, Any], local: LocalDify
) -> None:
    tool = _tool(local, app, name="report")
    handler = _agent(tool, **arguments).run("Publish it.")
    streamed, asked = "", []
    async for event in handler.stream_events():
        if isinstance(event, DifyToolStreamEvent):
            streamed += event.delta
        if isinstance(event, DifyInputRequiredEvent):
            asked.append(event.app)
            handler.ctx.send_event(event.response(APPROVED))
    output = await handler
    assert asked == ["report"]
    assert "Fine." in str(output)
    assert generations(local) == 1
    assert streamed.startswith("The draft.")
    assert "Fine." in streamed


async def test_tools_side_by_side_wait_each_for_its_own_response(local: LocalDify) -> None:
    tool = _tool(local, "workflow", name="report")
    llm = ScriptedLLM(tool_name="report", arguments={"text": "/pause one "})
    llm.more_calls = [{"name": "report", "arguments": {"text": "/pause two "}}]
    handler = AgentWorkflow(agents=[FunctionAgent(tools=[tool], llm=llm)]).run("Publish both.")
    asked: list[DifyInputRequiredEvent] = []
    results: list[str] = []
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            asked.append(event)
            if len(asked) == 2:
                for number, waiting in enumerate(reversed(asked)):
                    comment = f"Comment {number} on {waiting.text}"
                    values = {"comment": comment, "action": "approve"}
                    handler.ctx.send_event(waiting.response(values))
        if isinstance(event, ToolCallResult):
            results.append(event.tool_output.content)
    await handler
    assert generations(local) == 2
    assert sorted("one" in text for text in results) == [False, True]
    for text in results:
        which, other = ("one", "two") if "one" in text else ("two", "one")
        assert f"on {which}" in text
        assert other not in text


async def test_without_a_context_a_tool_says_what_waits(local: LocalDify) -> None:
    output = await _tool(local, "workflow").acall(text="/pause The draft. ")
    assert output.is_error
    assert isinstance(output.exception, WorkflowPausedError)
    assert output.exception.forms[0].form_token
    assert str(output.raw_output) == "The draft."


async def test_tools_and_agents_wait_across_processes(local: LocalDify) -> None:
    def make() -> AgentWorkflow:
        return _agent(_tool(local, "workflow", name="report"), text="/pause The draft. ")

    handler = make().run("Publish it.")
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            break
    kept = json.dumps(handler.ctx.to_dict(serializer=JsonSerializer()))
    await handler.cancel_run()
    made = generations(local)
    workflow = make()
    context = Context.from_dict(workflow, json.loads(kept), serializer=JsonSerializer())
    await context.store.set("memory", ChatMemoryBuffer.from_defaults(token_limit=5_000))
    later = workflow.run(ctx=context)
    later.ctx.send_event(event.response(APPROVED))
    assert "Fine." in str(await later)
    assert (made, generations(local)) == (1, 0)  # the record is cleared where a tool is made


# A chat engine ------------------------------------------------------------------------------------


def _engine(local: LocalDify, memory: BaseMemory | None = None) -> DifyChatEngine:
    llm = Dify(api_key=local.keys["advanced-chat"], base_url=local.base_url, user="ann")
    return DifyChatEngine(llm, memory=memory)


async def _pause(engine: DifyChatEngine, way: str, message: str) -> WorkflowPausedError:
    with pytest.raises(WorkflowPausedError) as paused:
        if way == "chat":
            engine.chat(message)
        elif way == "achat":
            await engine.achat(message)
        elif way == "stream":
            list(engine.stream_chat(message).response_gen)
        else:
            response = await engine.astream_chat(message)
            _ = [token async for token in response.async_response_gen()]
    return paused.value


async def _resume(engine: DifyChatEngine, way: str) -> str:
    if way == "chat":
        return str(engine.resume(APPROVED))
    if way == "achat":
        return str(await engine.aresume(APPROVED))
    if way == "stream":
        streaming = engine.stream_resume(APPROVED)
        assert "Fine." in "".join(streaming.response_gen)
        return streaming.response
    streaming = await engine.astream_resume(APPROVED)
    assert "Fine." in "".join([token async for token in streaming.async_response_gen()])
    return streaming.response


@pytest.mark.parametrize("process", ["same", "other"])
@pytest.mark.parametrize("way", ["chat", "achat", "stream", "astream"])
async def test_a_chat_engine_goes_on_with_its_turn(
    way: str, process: str, local: LocalDify
) -> None:
    engine = _engine(local)
    engine.chat("/echo Hello")
    paused = await _pause(engine, way, "/pause The draft. ")
    assert engine.paused is paused
    assert paused.forms
    assert "DifyChatEngine.resume(values)" in str(paused)
    kept = engine.chat_history
    assert [m.content for m in kept[2:]] == ["/pause The draft. ", "The draft."]
    if process == "other":
        kept = [ChatMessage.model_validate_json(message.model_dump_json()) for message in kept]
        memory = ChatMemoryBuffer.from_defaults(chat_history=kept, token_limit=5_000)
        engine = _engine(local, memory)
        assert engine.paused is None
    text = await _resume(engine, way)
    assert text.startswith("The draft.")
    assert "Fine." in text
    assert engine.paused is None
    assert [m.content for m in engine.chat_history] == [
        "/echo Hello",
        "Hello",
        "/pause The draft. ",
        text,
    ]
    with pytest.raises(ValueError, match="no turn of this conversation waits"):
        engine.resume(APPROVED)
    engine.chat("/echo And then?")
    asked = [r.json for r in local.requests if r.path.endswith("/chat-messages")]
    assert len(asked) == 3
    assert asked[2]["conversation_id"] == asked[1]["conversation_id"] is not None
    assert asked[2]["query"] == "/echo And then?"


def test_a_form_filled_wrongly_leaves_the_turn_waiting(local: LocalDify) -> None:
    engine = _engine(local)
    with pytest.raises(WorkflowPausedError):
        engine.chat("/pause The draft. ")
    with pytest.raises(ValueError, match="comment is missing"):
        engine.resume({"action": "approve"})
    assert len(engine.chat_history) == 2
    assert "Fine." in str(engine.resume(APPROVED))


def test_a_turn_that_waits_can_be_left_for_later(local: LocalDify) -> None:
    engine = _engine(local)
    with pytest.raises(WorkflowPausedError):
        engine.chat("/pause The draft. ")
    engine.chat("/echo Meanwhile")
    text = str(engine.resume(APPROVED))
    assert [m.content for m in engine.chat_history] == [
        "/pause The draft. ",
        text,
        "/echo Meanwhile",
        "Meanwhile",
    ]


async def test_waiting_is_no_failure_in_traces(report: DifyWorkflow, local: LocalDify) -> None:
    tool = _tool(local, "workflow", name="report")
    with recorded_spans() as spans:
        workflow = Approval(lambda ctx: report.arun({"text": "/pause one "}, ctx=ctx))
        await answer_all(workflow.run())
        await answer_all(_agent(tool, text="/pause two ").run("Publish it."))
    assert {type(error) for _, error in spans.failed} <= {WorkflowPausedError}  # of the app's call
    assert {name.split(".")[0] for name, _ in spans.failed} <= {"DifyApp"}
