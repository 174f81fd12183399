"""A workflow whose form takes a choice, a text, a file and several files."""

from __future__ import annotations

from dify_local import App, Node

FORM = {
    "form_content": "Which paper?\n\n{{#$output.risk#}} {{#$output.note#}} {{#$output.doc#}}",
    "inputs": [
        {
            "type": "select",
            "output_variable_name": "risk",
            "option_source": {"type": "constant", "selector": [], "value": ["low", "high"]},
        },
        {"type": "paragraph", "output_variable_name": "note"},
        {
            "type": "file",
            "output_variable_name": "doc",
            "allowed_file_types": ["document"],
            "allowed_file_upload_methods": ["local_file", "remote_url"],
        },
        {
            "type": "file-list",
            "output_variable_name": "docs",
            "allowed_file_types": ["document", "image"],
            "number_limits": 2,
        },
    ],
    "user_actions": [{"id": "approve", "title": "Approve", "button_style": "primary"}],
}

PAPERS = App(
    "papers",
    "workflow",
    nodes=[Node("human", "human-input", "Papers", form=FORM)],
    outputs={
        "risk": "{{#human.risk#}}",
        "note": "{{#human.note#}}",
        "doc": "{{#human.doc#}}",
        "docs": "{{#human.docs#}}",
    },
)
