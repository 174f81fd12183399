"""Rows in, results out: apps, columns, files, budgets."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dify_api.errors import DifyError, UnauthorizedError
from dify_batch import Columns, Limits, arun, read_results, run
from tests.batch.server import FaultyDify
from tests.batch.support import client, questions, results_of, run_rows, some_questions

MODES = ("chat", "completion", "workflow", "advanced-chat", "agent-chat", "agent")


@pytest.mark.parametrize("app", MODES)
def test_each_row_has_its_answer(server: FaultyDify, output: Path, app: str) -> None:
    rows = questions("/echo one", "/echo two", "/echo three")
    summary, results = run_rows(server, rows, output, app)
    assert [result.answer.strip() for result in results] == ["one", "two", "three"]
    assert [result.input for result in results] == rows
    assert [result.row for result in results] == [0, 1, 2]
    assert (summary.rows, summary.succeeded, summary.failed, summary.stopped) == (3, 3, 0, None)
    assert summary.tokens > 0
    assert summary.price > 0
    assert not list(output.parent.glob("*.started"))  # the notes


def test_a_result_has_citations_usage_and_ids(server: FaultyDify, output: Path) -> None:
    rows = questions("Which planet has the most moons?")
    _, (result,) = run_rows(server, rows, output, "advanced-chat")
    assert "Saturn" in result.answer
    assert result.outputs is not None
    assert result.retriever_resources[0].document_name
    assert result.usage is not None
    assert isinstance(result.usage.total_price, Decimal)
    assert result.latency is not None
    assert result.conversation_id
    assert result.message_id
    assert result.task_id
    assert result.workflow_run_id


def test_a_second_run_asks_nothing_that_is_done(server: FaultyDify, output: Path) -> None:
    rows = some_questions(5)
    run_rows(server, rows[:3], output)
    before = output.read_bytes()
    summary, results = run_rows(server, rows, output)
    assert (summary.done_before, summary.succeeded) == (3, 5)
    assert output.read_bytes().startswith(before)
    assert [result.row for result in results] == [0, 1, 2, 3, 4]
    asked = [request for request in server.requests if request.path.endswith("/chat-messages")]
    assert len(asked) == 5


def test_rows_with_the_same_content_have_a_result_each(server: FaultyDify, output: Path) -> None:
    rows = questions("/echo same", "/echo same", "/echo same")
    _, results = run_rows(server, rows, output)
    assert len({result.id for result in results}) == 3
    summary, results = run_rows(server, rows, output)
    assert (len(results), summary.done_before) == (3, 3)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_rows_of_files(server: FaultyDify, tmp_path: Path, suffix: str) -> None:
    rows, output = tmp_path / f"rows{suffix}", tmp_path / "answers.jsonl"
    given = [{"question": '/echo "one", two'}, {"question": "/echo zwei\u2028three"}]
    with rows.open("w", newline="") as file:
        if suffix == ".jsonl":
            file.writelines(f"{json.dumps(row)}\n\n" for row in given)
        else:
            writer = csv.DictWriter(file, ["question"], delimiter="\t" if "t" in suffix else ",")
            writer.writeheader()
            writer.writerows(given)
    summary = run(rows, client(server), output, columns=Columns(query="question"))
    assert summary.rows == 2
    assert [result.input for result in results_of(output)] == given
    assert results_of(output)[0].answer.strip() == '"one", two'


def test_parquet_in_and_out(server: FaultyDify, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows, output = tmp_path / "rows.parquet", tmp_path / "answers.parquet"
    queries = ["/echo one", "/fail now", "Which planet has the most moons?"]
    parquet.write_table(pyarrow.table({"question": queries, "weight": [1, 2, 3]}), rows)
    run(rows, client(server), output, columns=Columns(query="question"))
    written = sorted(parquet.read_table(output).to_pylist(), key=lambda row: row["row"])
    assert [row["status"] for row in written] == ["succeeded", "failed", "succeeded"]
    assert written[0]["answer"].strip() == "one"
    assert json.loads(written[0]["input"]) == {"question": "/echo one", "weight": 1}
    assert written[1]["error_type"] == "CompletionRequestError"
    assert json.loads(written[2]["retriever_resources"])[0]["document_name"]
    assert written[2]["total_price"] > 0
    assert [result.status for result in results_of(output)] == [row["status"] for row in written]


def test_columns_fill_variables_and_fixed_values_the_others(
    server: FaultyDify, output: Path
) -> None:
    rows = [{"question": "Hello", "who": "Ada", "tone": "warm"}]
    columns = Columns(query="question", inputs={"name": "who"}, fixed={"age": "36"})
    run(rows, client(server, "greeter"), output, columns=columns)
    (asked,) = [request for request in server.requests if request.path.endswith("/chat-messages")]
    assert asked.json is not None
    assert asked.json["inputs"] == {"name": "Ada", "tone": "warm", "age": 36, "polite": False}


def test_files_go_along(server: FaultyDify, tmp_path: Path) -> None:
    (tmp_path / "moon.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows = tmp_path / "rows.jsonl"
    row = {"question": "/echo seen", "files": ["moon.png", "https://example.com/sun.png"]}
    rows.write_text(json.dumps(row) + "\n" + json.dumps({"question": "/echo x", "files": "no.png"}))
    output = tmp_path / "answers.jsonl"
    run(rows, client(server), output, columns=Columns(query="question", files=["files"]))
    seen, missing = results_of(output)
    assert seen.answer.strip() == "seen"
    (asked,) = [request for request in server.requests if request.path.endswith("/chat-messages")]
    assert asked.json is not None
    methods = [file["transfer_method"] for file in asked.json["files"]]
    assert methods == ["local_file", "remote_url"]
    assert missing.error is not None
    assert "no.png" in missing.error.message


def test_a_row_that_does_not_fit_fails_alone_and_before_any_request(
    server: FaultyDify, output: Path
) -> None:
    rows = [{"text": "/echo fine", "style": "formal"}, {"text": "/echo bad", "style": "loud"}]
    summary = run(rows, client(server, "workflow"), output)
    fine, bad = results_of(output)
    assert fine.status == "succeeded"
    assert bad.error is not None
    assert bad.error.type == "ValueError"
    assert "style" in bad.error.message
    assert (summary.failed, summary.failures) == (1, {"ValueError": 1})
    asked = [request for request in server.requests if request.path.endswith("/workflows/run")]
    assert len(asked) == 1


def test_a_failed_row_keeps_its_partial_answer_and_is_asked_again_on_request(
    server: FaultyDify, output: Path
) -> None:
    rows = questions("/fail mid", "/echo fine")
    summary, (failed, _) = run_rows(server, rows, output)
    assert summary.failed == 1
    assert failed.error is not None
    assert (failed.error.code, failed.error.status) == ("completion_request_error", 400)
    assert failed.answer == "one two three "
    assert failed.message_id
    server.clear()
    summary, results = run_rows(server, rows, output)
    assert summary.failed == 1
    assert not [request for request in server.requests if request.path.endswith("messages")]
    summary, results = run_rows(server, rows, output, retry_failed=True)
    assert len(results) == 2
    asked = [request for request in server.requests if request.path.endswith("/chat-messages")]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("columns", "app", "says"),
    [
        (Columns(query="questions"), "chat", "no column questions; they have question, n"),
        (Columns(), "chat", "as query: one of question, n"),
        (Columns(), "workflow", "the app needs text"),
        (Columns(query="question", inputs={"nothing": "n"}), "workflow", "no input nothing"),
        (Columns(query="question", fixed={"nothing": 1}), "workflow", "no input nothing"),
    ],
)
def test_columns_that_are_not_fit_are_refused_at_once(
    server: FaultyDify, output: Path, columns: Columns, app: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        run([{"question": "x", "n": 1}], client(server, app), output, columns=columns)
    assert not [request for request in server.requests if request.method == "POST"]
    assert not output.exists()


def test_files_that_are_no_rows_are_refused(server: FaultyDify, tmp_path: Path) -> None:
    for name, text, says in (
        ("rows.txt", "", "not from 'rows.txt'"),
        ("rows.jsonl", "[1]\n", "line 1: not a JSON object"),
        ("a.csv", "a,a\n1,2\n", "two columns have the same name"),
        ("b.csv", "question\n1,2\n", "line 2: more fields than columns"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=says):
            run(tmp_path / name, client(server), tmp_path / "answers.jsonl")
    with pytest.raises(ValueError, match=r"must be a \.jsonl or \.parquet file"):
        run([], client(server), tmp_path / "answers.csv")


def test_a_wrong_key_ends_the_batch_without_failing_its_rows(
    server: FaultyDify, output: Path
) -> None:
    server.fault("status", path="/chat-messages", status=401, times=20)
    with pytest.raises(UnauthorizedError):
        run_rows(server, some_questions(20), output, limits=Limits(concurrency=2))
    assert len(results_of(output)) == 0
    server.clear()
    summary, _ = run_rows(server, some_questions(20), output)
    assert (summary.succeeded, summary.repeats) == (20, 0)


def test_too_many_failures_stop_it_with_what_is_done_kept(server: FaultyDify, output: Path) -> None:
    rows = questions(*[f"/fail mid {number}" for number in range(30)])
    limits = Limits(concurrency=2, max_failures=5)
    summary, results = run_rows(server, rows, output, limits=limits)
    assert summary.stopped == "failures"
    assert 6 <= len(results) <= 7


def test_a_price_stops_it(server: FaultyDify, output: Path) -> None:
    rows = some_questions(60, tokens=20)
    price = 10.5 * 0.0000130  # of ten answers
    limits = Limits(concurrency=4, max_price=price)
    summary, results = run_rows(server, rows, output, limits=limits)
    assert summary.stopped == "price"
    assert 9 <= len(results) <= 12
    again, results = run_rows(server, rows, output, limits=limits)
    assert again.stopped == "price"
    assert len(results) <= 12
    summary, results = run_rows(server, rows, output)
    assert (summary.stopped, len(results)) == (None, 60)


def test_conversations_are_deleted_on_request(server: FaultyDify, output: Path) -> None:
    server.fault("drop", path="/chat-messages", after_bytes=600)
    summary, results = run_rows(
        server, some_questions(5), output, user="deleted", delete_conversations=True
    )
    assert summary.succeeded == 5
    deleted = {request.path for request in server.requests if request.method == "DELETE"}
    for result in results:
        assert any(result.conversation_id in path for path in deleted if result.conversation_id)
    assert len(deleted) == 5 + summary.repeats
    assert not list(output.parent.glob("*.started"))


async def test_it_runs_in_a_loop_of_the_callers(server: FaultyDify, output: Path) -> None:
    rows = iter(some_questions(3))
    summary = await arun(rows, client(server), output, columns=Columns(query="question"))
    assert (summary.rows, summary.succeeded) == (None, 3)
    assert len(list(read_results(output))) == 3


def test_neither_key_nor_user_is_written_down(server: FaultyDify, output: Path) -> None:
    server.fault("status", path="/chat-messages", status=400)
    run_rows(server, some_questions(3), output, user="ann@example.com")
    for file in output.parent.iterdir():
        text = file.read_text()
        assert server.keys["chat"] not in text
        assert "ann@example.com" not in text


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"requests_per_second": -1}, {"max_price": -1}]
)
def test_limits_that_let_nothing_through_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)


def test_an_app_that_cannot_be_asked_is_said_at_once(server: FaultyDify, output: Path) -> None:
    server.fault("status", path="/parameters", status=403, times=3)
    with pytest.raises(DifyError, match="403"):
        run_rows(server, some_questions(1), output)
