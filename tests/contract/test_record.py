"""`make record` records every scenario: against `dify_local`, as no Dify server is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dify_local import App, LocalDify, Node
from tests.contract.scenarios.recording import mask_server
from tests.support.cassettes import ROOT
from tests.support.file_form import FORM

pytestmark = pytest.mark.slow

SCENARIOS = Path(__file__).parent / "scenarios"
TWICE = App(
    "twice",
    "workflow",
    nodes=[Node("first", "human-input", form=FORM), Node("second", "human-input", "Second")],
    outputs={"said": "{{#second.comment#}}"},
)


def run(folder: Path, *options: str, **variables: str) -> str:
    """What pytest says of the scenarios."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(SCENARIOS), "-n0", "-q", "-rsfE", *options],
        capture_output=True,
        check=False,
        cwd=ROOT.parent,
        env={**os.environ, **variables, "DIFY_RECORD_CASSETTES": str(folder)},
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def variables_of(server: LocalDify) -> dict[str, str]:
    keys = server.keys
    return {
        "DIFY_RECORD_BASE_URL": server.base_url,
        **{
            f"DIFY_RECORD_KEY_{mode.upper().replace('-', '_')}": keys[mode]
            for mode in ("chat", "completion", "agent-chat", "advanced-chat", "workflow", "agent")
        },
        "DIFY_RECORD_KEY_HUMAN_INPUT": keys["twice"],
        "DIFY_RECORD_KEY_CHATFLOW_HUMAN_INPUT": keys["review"],
        "DIFY_RECORD_DATASET_KEY": server.dataset_key,
        "DIFY_RECORD_DATASET_ID": server.dataset_id,
    }


REVIEW = App(
    "review",
    "advanced-chat",
    nodes=[
        Node("draft", "llm", "Draft"),
        Node("human", "human-input", "Review"),
        Node("sent", "llm", "Sent", {"text": " {{#human.comment#}}"}),
    ],
    answer="{{#draft.text#}}{{#sent.text#}}",
)


@pytest.mark.parametrize("version", ["1.12.1", "1.17.0"])
def test_every_scenario_is_recorded_and_replayed(version: str, tmp_path: Path) -> None:
    with LocalDify(version=version, apps=[TWICE, REVIEW]) as server:
        said = run(tmp_path, "--record-mode=rewrite", **variables_of(server))
    skipped = [line for line in said.splitlines() if line.startswith("SKIPPED")]
    assert all("servers since" in line for line in skipped)
    recorded = {file.stem: file.read_text() for file in tmp_path.glob("*/scenarios/*.yaml")}
    if version == "1.17.0":
        assert not skipped
        assert recorded.keys() >= {file.stem for file in ROOT.glob("dify-*/scenarios/*.yaml")}
    for text in recorded.values():
        assert mask_server(text) == text
        assert server.base_url not in text
    run(tmp_path)  # each is replayed, too
