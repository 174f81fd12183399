"""The forms of paused runs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.payloads import HumanInputFormSubmitPayload
from dify_local._http.requests import Call, app_call, json_call
from dify_local._http.responses import json_response
from dify_local._protocol.errors import not_found
from dify_local._runs import execution, saved_runs
from dify_local._runs.human_input import HumanInputForm
from dify_local._runs.workflow_run import WorkflowRun


def _find(call: Call) -> tuple[WorkflowRun, HumanInputForm]:
    found = saved_runs.by_form_token(call.service, call.path("form_token"))
    if found is None or found[0].generation.app != call.app:
        raise not_found("Form not found")
    return found


async def show_form(request: Request) -> Response:
    """`GET /form/human_input/{form_token}`; needs no user."""
    _, form = _find(app_call(request))
    form.require_open()
    return json_response(form.definition())


async def submit_form(request: Request) -> Response:
    """`POST /form/human_input/{form_token}`."""
    call = await json_call(request)
    payload = call.payload(HumanInputFormSubmitPayload)
    run, form = _find(call)
    execution.resume(call.service, run, form, payload.inputs, payload.action)
    return json_response({})


routes = [
    Route("/form/human_input/{form_token}", show_form, methods=["GET"]),
    Route("/form/human_input/{form_token}", submit_form, methods=["POST"]),
]
