"""An app waits for a person: the events by which LlamaIndex's workflows and agents ask.

A call that is given the run's `Context` writes a `DifyInputRequiredEvent` into the run's stream of
events and waits; a `DifyHumanResponseEvent` fills the forms, and the same run of the app goes on::

    handler = agent.run("Publish the report.", ctx=ctx)
    async for event in handler.stream_events():
        if isinstance(event, DifyInputRequiredEvent):
            print(event.forms[0].form_content)
            handler.ctx.send_event(event.response({"comment": "Fine", "action": "approve"}))
    print(await handler)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.workflow import HumanResponseEvent, InputRequiredEvent

from dify_api._runs.resumption import filled
from dify_api.answers.forms import HumanInputForm


class DifyHumanResponseEvent(HumanResponseEvent):
    """What a person filled in; `DifyInputRequiredEvent.response` makes it.

    Attributes:
        pause_id: That of the event which asked.
        form_values: `{form: {...}}`, each by its `node_id`, `node_title` or `form_token`; or the
            values of the only form. A form's values are those of its inputs by their names, and
            the id of the chosen button under "action".
    """

    pause_id: str
    form_values: dict[str, Any]


class DifyInputRequiredEvent(InputRequiredEvent):
    """An app waits for a person to fill its forms.

    Attributes:
        pause_id: Tells pauses from each other.
        app: Name of the tool, agent or workflow whose app waits.
        forms: What is to be filled; `form.response_schema()` says what each takes.
        text: The answer so far, such as the draft to be reviewed.
        workflow_run_id: The run that waits.
        error: Why what was filled in before was not taken, where it was not.
    """

    pause_id: str
    app: str
    forms: list[HumanInputForm]
    text: str = ""
    workflow_run_id: str | None = None
    error: str | None = None

    def response(self, values: Mapping[str, Any]) -> DifyHumanResponseEvent:
        """What is to be sent to the run (`handler.ctx.send_event`).

        Args:
            values: See `DifyHumanResponseEvent`. Of several forms some may be left for later:
                then they are asked for again.

        Raises:
            ValueError: If a form is unknown or filled wrongly.
        """
        filled(self.forms, values)
        return DifyHumanResponseEvent(pause_id=self.pause_id, form_values=dict(values))
