"""A paused run that goes on: its forms are filled, and what follows belongs to the same answer."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dify_api._runs.flows import Flow, Pause
from dify_api._runs.following import followed, pauses
from dify_api._runs.steps import Course, Plan, Step, TakeTurn
from dify_api.answers._reader import AnswerReader
from dify_api.answers.answer import Answer
from dify_api.answers.forms import HumanInputForm
from dify_api.endpoints import human_input, workflows
from dify_api.errors import (
    ConnectionFailedError,
    HumanInputFormSubmittedError,
    NotPausedError,
    WorkflowPausedError,
)
from dify_api.operation import Operation, require

Paused = WorkflowPausedError | Answer | str
"""A pause: the error that told it, the answer so far, or the id of its run."""

FormValues = Mapping[str, Any]
"""What forms are filled with: `{form: {...}}`, or the values of the only form."""

_ATTEMPTS = 3


@dataclass(frozen=True)
class FilledForm:
    """A form and what it is filled with, checked."""

    form: HumanInputForm
    inputs: dict[str, Any]
    action: str


def resumption(
    paused: Paused, values: FormValues, user: str, *, recover: bool
) -> tuple[Operation[Answer], Plan, Answer | None]:
    """How a paused run goes on.

    Args:
        paused: The pause.
        values: What its forms are filled with.
        user: The end user who fills them.
        recover: Whether to attach again where the connection breaks.

    Returns:
        The call that follows the run, the plan of the answer's course, and the answer so far.

    Raises:
        ValueError: If a form is unknown or filled wrongly.
    """
    require(user, "user", "name the end user who began the run")
    plan: Plan
    if isinstance(paused, str):
        run_id, before = paused, None
        plan = partial(resumed_by_id, run_id=run_id, values=values, user=user, recover=recover)
    else:
        before = answer_so_far(paused)
        run_id = before.workflow_run_id or ""
        forms = filled(before.forms or getattr(paused, "forms", []), values)
        plan = partial(resumed, forms=forms, user=user, recover=recover)
    operation = replace(workflows.events(run_id, user=user), stop_path=workflows.STOP_PATH)
    return operation, plan, before


def answer_so_far(paused: WorkflowPausedError | Answer) -> Answer:
    """The answer that goes on after a pause.

    Raises:
        ValueError: If there is no run to go on with.
    """
    answer = paused if isinstance(paused, Answer) else paused.answer
    if answer is None:
        answer = Answer(workflow_run_id=getattr(paused, "workflow_run_id", None))
    if answer.workflow_run_id is None:
        raise ValueError(
            "this answer is not that of a paused run: it has no workflow_run_id. Forms of an "
            "agent's turn are filled by human_input.submit(...)"
        )
    return answer


def filled(forms: Sequence[HumanInputForm], values: FormValues) -> list[FilledForm]:
    """Match what is given with the forms of a pause, and check it.

    Args:
        forms: The forms.
        values: By each form's `form_token`, `node_id`, or `node_title` where that is its own;
            where there is one form, its values alone.

    Raises:
        ValueError: If a form is unknown, went out by e-mail, or is filled wrongly.
    """
    given = _by_form(forms, values)
    if not given:
        raise ValueError(f"fill at least one form: {_names(forms)}")
    found: list[FilledForm] = []
    for form, answer in given:
        what = form.node_title or form.node_id or "the form"
        if form.form_token is None:
            raise ValueError(f"{what} went out by e-mail and is filled there")
        try:
            inputs, action = form.check(answer)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        found.append(FilledForm(form, inputs, action))
    return found


def _by_form(
    forms: Sequence[HumanInputForm], values: FormValues
) -> list[tuple[HumanInputForm, FormValues]]:
    names = _known_names(forms)
    if len(forms) == 1 and (forms[0].action_key in values or not set(values) <= set(names)):
        return [(forms[0], values)]
    unknown = [str(name) for name in values if name not in names]
    if unknown:
        raise ValueError(f"no form {', '.join(unknown)} is waited for: {_names(forms)}")
    return [(names[name], answer) for name, answer in values.items()]


def _known_names(forms: Sequence[HumanInputForm]) -> dict[str, HumanInputForm]:
    names: dict[str, HumanInputForm] = {}
    for attribute in ("node_title", "node_id", "form_token"):
        named = [(getattr(form, attribute), form) for form in forms]
        all_names = [name for name, _ in named]
        names |= {name: form for name, form in named if name and all_names.count(name) == 1}
    return names


def _names(forms: Sequence[HumanInputForm]) -> str:
    if not forms:
        return "the run waits for none"
    return "name one by its node_id: " + ", ".join(
        f"{form.node_id} ({form.node_title})" for form in forms
    )


def resumed(
    reader: AnswerReader, forms: Sequence[FilledForm], user: str, *, recover: bool
) -> Course:
    """The course of an answer that goes on after its pause.

    Forms are submitted one after the other, each once the run waits again: of two that are
    submitted at once, servers lose the run (observed on 1.16).

    Args:
        reader: Reads what follows; its builder has what came before.
        forms: The forms to fill.
        user: The end user who fills them.
        recover: Whether to attach again where the connection breaks.
    """
    if conversation_id := reader.builder.conversation_id:
        yield TakeTurn(conversation_id, begins=False)
    run_id = reader.builder.workflow_run_id or ""
    for filled_form in forms:
        submitted_before = yield from _submitted(filled_form, user)
        reader.answer_form(filled_form.form.form_id or "")
        if submitted_before:
            reader.rejoin()
        yield from followed(reader, run_id, user, look_first=submitted_before, again=recover)
        if reader.builder.paused is None:
            return


def _submitted(filled_form: FilledForm, user: str) -> Generator[Step, Any, bool]:
    """Submit a form; whether it had been submitted before, as by a resume that was cut short."""
    token = filled_form.form.form_token or ""
    waits = pauses()
    for attempt in range(_ATTEMPTS):
        try:
            yield human_input.submit(
                token, filled_form.inputs, action=filled_form.action, user=user
            )
        except HumanInputFormSubmittedError:
            return True
        except ConnectionFailedError as error:
            # Whether it arrived tells the next attempt: a form is taken once.
            if not error.retryable or attempt == _ATTEMPTS - 1:
                raise
            yield Pause(next(waits))
        else:
            return False
    return False


def resumed_by_id(
    reader: AnswerReader, run_id: str, values: FormValues, user: str, *, recover: bool
) -> Course:
    """`resumed`, where nothing but the run is known.

    Raises:
        ValueError: If the forms are filled wrongly.
    """
    try:
        paused = yield from paused_run(run_id, user)
    except NotPausedError:  # it went on already
        yield from followed(reader, run_id, user, look_first=True, again=recover)
        return
    reader.start_from(answer_so_far(paused))
    forms = filled(paused.forms, values)
    yield from resumed(reader, forms, user, recover=recover)


def paused_run(run_id: str, user: str) -> Flow[WorkflowPausedError]:
    """The pause of a run, found again by its id.

    Raises:
        NotPausedError: If it does not wait for a human.
    """
    run = yield workflows.run_detail(run_id)
    if run.status == "paused":
        try:
            yield workflows.events(run_id, user=user, include_state_snapshot=True)
        except WorkflowPausedError as paused:
            return paused
    raise NotPausedError(f"the run does not wait for a human: it is {run.status or 'unknown'}")
