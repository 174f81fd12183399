"""What stands before a run of a workflow app: its form, the check of the inputs, the uploads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dify_api._calls.app_tool import AppTool, app_mode
from dify_api._calls.input_form import upload_files
from dify_api._runs.flows import Flow
from dify_api.answers.answer import Answer
from dify_api.endpoints import application, workflows
from dify_api.operation import Operation


@dataclass(frozen=True)
class WorkflowCall:
    """A run that is wanted.

    Attributes:
        inputs: Values of the app's variables.
        user: The end user.
        files: References for the workflow's `sys.files`.
        workflow_id: Published version to run, whose inputs are not checked: the form that a
            server tells is that of the newest version.
        name: What the app is called.
        root_dir: Directory below which a file input may be a path as text.
    """

    inputs: Mapping[str, Any]
    user: str = field(repr=False)
    files: Sequence[Mapping[str, Any]] | None = None
    workflow_id: str | None = None
    name: str = "workflow"
    root_dir: str | Path | None = None

    def describe(self) -> Flow[AppTool]:
        """Ask the app for its form."""
        form = (yield application.parameters()).user_input_form
        return AppTool("workflow", self.name, "", tuple(form), root_dir=self.root_dir)

    def prepare(self, known: AppTool | None) -> Flow[tuple[Operation[Answer], AppTool | None]]:
        """Check the inputs, upload the files among them, and make the call.

        Args:
            known: What the app was found to be before.

        Returns:
            What to stream, and what the app is found to be.

        Raises:
            pydantic.ValidationError: If an input does not fit the form.
        """
        if self.workflow_id is None:
            inputs, known = yield from self._checked(known)
            return workflows.run(inputs, user=self.user, files=self.files), known
        known = known or (yield from self.describe())
        inputs = yield from upload_files(known.form, self.inputs, self.user)
        run = workflows.run_version(self.workflow_id, inputs, user=self.user, files=self.files)
        return run, known

    def _checked(self, known: AppTool | None) -> Flow[tuple[dict[str, Any], AppTool | None]]:
        """The inputs by the form known, or else by that of today: apps are published anew."""
        if known is not None:
            with contextlib.suppress(ValidationError):
                return (yield from known.prepare_inputs(self.inputs, user=self.user)), known
        known = yield from self.describe()
        try:
            return (yield from known.prepare_inputs(self.inputs, user=self.user)), known
        except ValidationError:
            if (yield from app_mode(self.user)) == "workflow":
                raise
            # No workflow app: the server refuses the run, and the error tells.
            return dict(self.inputs), None
