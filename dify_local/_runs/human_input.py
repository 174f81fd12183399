"""The form that a paused run shows to a person."""

from __future__ import annotations

from dataclasses import dataclass, field

from dify_local._protocol.errors import ApiError
from dify_local._protocol.values import JsonObject, new_id, new_token, now
from dify_local._runs.form_values import FileOf, checked, shown

_LIFETIME = 3 * 24 * 3600


@dataclass
class HumanInputForm:
    """A form that waits for its answer, and the answer once there is one.

    Args:
        draft: The text a person shall look at.
        node_id: The node that waits.
        own: The form of an app's own node: `form_content`, `inputs` and `user_actions`.
    """

    draft: str
    node_id: str = "human"
    node_title: str = "Human review"
    form_id: str = field(default_factory=new_id)
    form_token: str = field(default_factory=new_token)
    expiration_time: int = field(default_factory=lambda: now() + _LIFETIME)
    action: str | None = None
    submitted: JsonObject | None = None
    own: JsonObject | None = None

    @property
    def form_content(self) -> str:
        """Return the text of the form, with a slot for each input."""
        if self.own is not None:
            return str(self.own.get("form_content") or "")
        return f"Please review: {self.draft}\n\nComment: {{{{#$output.comment#}}}}"

    @property
    def inputs(self) -> list[JsonObject]:
        """Return the fields of the form."""
        if self.own is not None:
            return list(self.own.get("inputs") or [])
        default = {"type": "constant", "selector": [], "value": "Looks good."}
        return [{"output_variable_name": "comment", "type": "paragraph", "default": default}]

    @property
    def actions(self) -> list[JsonObject]:
        """Return the buttons of the form."""
        if self.own is not None:
            return list(self.own.get("user_actions") or [])
        return [
            {"id": "approve", "title": "Approve", "button_style": "primary"},
            {"id": "reject", "title": "Reject", "button_style": "default"},
        ]

    @property
    def action_title(self) -> str:
        """Return what the pressed button says."""
        return next((a["title"] for a in self.actions if a["id"] == self.action), "")

    @property
    def said(self) -> str:
        """Return what was filled in, as one text."""
        return ", ".join(shown(value) for value in (self.submitted or {}).values())

    def submit(self, inputs: JsonObject, action: str, file_of: FileOf) -> None:
        """Take the answer of a person.

        Args:
            inputs: A value for each input.
            action: The button that was pressed.
            file_of: Finds the file that a reference names.

        Raises:
            ApiError: The form was answered before, or the answer does not fit it.
        """
        self.require_open()
        if action not in {known["id"] for known in self.actions}:
            raise ApiError(400, "invalid_form_data", f"Invalid action: {action}")
        self.submitted, self.action = checked(self.inputs, inputs, file_of), action

    def outputs(self) -> JsonObject:
        """Return what the node gives: what was filled in, and which button was pressed."""
        return {
            **(self.submitted or {}),
            "__action_id": self.action,
            "__action_value": self.action_title,
            "__rendered_content": self.rendered(),
        }

    def expires_within(self, seconds: float) -> bool:
        """Tell whether the form expires so soon."""
        return self.expiration_time - now() < seconds

    def expire(self) -> None:
        """Take no answer from now on."""
        self.expiration_time = min(self.expiration_time, now() - 1)

    def require_open(self) -> None:
        """Refuse a form that was answered or has expired."""
        if self.submitted is not None:
            raise ApiError(
                412,
                "human_input_form_submitted",
                f"This form has already been submitted by another user, form_id={self.form_id}",
            )
        if self.expiration_time < now():
            raise ApiError(
                412, "human_input_form_expired", f"This form has expired, form_id={self.form_id}"
            )

    def rendered(self) -> str:
        """Return the text of the form with what was filled in."""
        text = self.form_content
        for name, value in (self.submitted or {}).items():
            text = text.replace(f"{{{{#$output.{name}#}}}}", shown(value))
        return text

    def required(self, *, approval_channels: bool) -> JsonObject:
        """Return the data of `human_input_required`.

        Args:
            approval_channels: Whether the release knows them (1.16 and later).
        """
        data: JsonObject = {
            "form_id": self.form_id,
            "node_id": self.node_id,
            "node_title": self.node_title,
            "form_content": self.form_content,
            "inputs": self.inputs,
            "actions": self.actions,
            "display_in_ui": True,
            "form_token": self.form_token,
        }
        if approval_channels:
            data["approval_channels"] = ["console"]
        return {
            **data,
            "resolved_default_values": {},
            "expiration_time": self.expiration_time,
        }

    def reason(self, *, approval_channels: bool) -> JsonObject:
        """Return the entry of `workflow_paused.reasons`."""
        required = self.required(approval_channels=approval_channels)
        del required["display_in_ui"]
        return {"TYPE": "human_input_required", **required}

    def definition(self) -> JsonObject:
        """Return what `GET /form/human_input/{form_token}` shows."""
        return {
            "form_content": self.form_content,
            "inputs": self.inputs,
            "resolved_default_values": {},
            "user_actions": self.actions,
            "expiration_time": self.expiration_time,
        }

    def extra_content(self, run_id: str) -> JsonObject:
        """Return the entry of a message's `extra_contents`."""
        definition = self.required(approval_channels=False)
        answered = self.submitted is not None
        if answered:
            definition["form_token"] = None
        data = {
            "node_id": self.node_id,
            "node_title": self.node_title,
            "rendered_content": self.rendered(),
            "action_id": self.action,
            "action_text": self.action_title,
            "submitted_data": self.submitted,
        }
        return {
            "workflow_run_id": run_id,
            "submitted": answered,
            "form_definition": definition,
            "form_submission_data": data if answered else None,
            "type": "human_input",
        }


def forms_of(draft: str) -> list[HumanInputForm]:
    """Return the forms that show a text: parts of it that "||" divides are shown in parallel."""
    first, *others = (part.strip() for part in draft.split("||"))
    return [
        HumanInputForm(first),
        *(
            HumanInputForm(part, node_id=f"human{number}", node_title=f"Human review {number}")
            for number, part in enumerate(others, start=2)
        ),
    ]
