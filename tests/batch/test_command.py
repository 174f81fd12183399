"""The command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dify_batch._command import main
from tests.batch.server import FaultyDify
from tests.batch.support import results_of


@pytest.fixture(autouse=True)
def environment(server: FaultyDify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
    monkeypatch.setenv("MY_KEY", server.keys["chat"])
    monkeypatch.setenv("DIFY_API_KEY", server.keys["workflow"])


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "questions.csv"
    path.write_text("question\n/echo one\n/echo two\n")
    return path


def test_the_command_shows_a_bar_and_a_table(
    rows: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(rows), str(output), "--query-column", "question", "--app-key-env", "MY_KEY"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2/2 rows" in shown.err
    for fact in ("succeeded", "maybe paid twice", "price", "USD"):
        assert fact in shown.err


def test_json_lines_for_machines(
    rows: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.write_text("text,style\n/echo one,formal\n/echo two,loud\n")
    assert main([str(rows), str(output), "--json", "--input", "count=2"]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events][::3] == ["begin", "end"] or len(events) == 4
    (failure,) = [event for event in events if event["event"] == "failure"]
    assert failure["row"] == 1
    assert events[-1]["failures"] == {"ValueError": 1}
    assert (events[-1]["done"], events[-1]["stopped"]) == (2, None)


def test_quiet_is_silent(rows: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(rows), str(output), "--query-column", "question", "--app-key-env", "MY_KEY"]
    assert main([*arguments, "--quiet", "--max-price", "0.000001"]) in (0, 3)
    assert capsys.readouterr() == ("", "")
    assert results_of(output)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--app-key-env", "NO_SUCH_KEY"], "no API key: set NO_SUCH_KEY"),
        (["--input", "style"], "--input takes NAME=VALUE"),
        (["--query-column", "answer"], "no column answer; they have question"),
        (["--concurrency", "0"], "concurrency must be above 0"),
    ],
)
def test_bad_input_is_said_in_a_line(
    rows: Path, output: Path, capsys: pytest.CaptureFixture[str], more: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(rows), str(output), *more])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("dify-batch: ")
    assert says in error
    assert error.count("\n") == 1
