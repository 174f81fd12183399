from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dify_local import LocalDify
from dify_local.__main__ import banner, main, parser
from tests.dify_local.test_own_apps import EXPORTS

ROOT = Path(__file__).parents[2]


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its base URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "dify_local", "--port", "0", "--token-delay", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str], containing: str) -> str:
    assert process.stderr is not None
    return next(line for line in process.stderr if containing in line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(number: signal.Signals) -> None:
    with command() as (process, base_url):
        headers = {"Authorization": "Bearer app-chat"}
        assert httpx.get(f"{base_url}/info", headers=headers).status_code == 200
        process.send_signal(number)
        assert process.stdout is not None
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert "app-completion" in rest
    assert rest.endswith("Stopped.\n")


def test_what_keeps_it_from_starting_is_told_in_one_line(tmp_path: Path) -> None:
    with LocalDify() as server, pytest.raises(SystemExit) as taken:
        main(["--port", str(urlsplit(server.base_url).port)])
    assert "cannot start on port" in str(taken.value)
    assert "in use" in str(taken.value)
    with pytest.raises(SystemExit, match="No folder of documents"):
        main(["--port", "0", "--documents", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="0-65535"):
        main(["--port", "99999"])


def test_the_banner_names_every_key() -> None:
    with LocalDify() as server:
        shown = banner(server)
    assert all(key in shown for key in server.keys.values())
    assert server.dataset_id in shown
    assert f"curl -N {server.base_url}/chat-messages" in shown


def test_the_upstream_key_is_no_option() -> None:
    options = vars(parser().parse_args([]))
    assert options["port"] == 8080
    assert not [name for name in options if "key" in name]


def test_an_app_of_ones_own_a_line_for_each_request_and_what_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "refunds.yml"
    shutil.copy(EXPORTS / "refunds.yml", file)
    headers = {"Authorization": "Bearer app-refunds"}
    with (
        command("--app", str(file), "--reload") as (process, base_url),
        httpx.Client(base_url=base_url, headers=headers) as client,
    ):
        assert client.get("/info?user=ada").json()["name"] == "Refund desk"
        line = next_line(process, "/v1/info")
        assert re.fullmatch(r"[\d:]{8} GET /v1/info refunds 200 0\.\d{3} s\n", line)
        file.write_text(file.read_text().replace("Refund desk", "Money back"))
        assert "refunds.yml has changed; started anew" in next_line(process, "has changed")
        assert client.get("/info").json()["name"] == "Money back"
        file.write_text("no app")
        assert "is no export of a Dify app" in next_line(process, "has changed, but")
        assert client.get("/info").json()["name"] == "Money back"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "many"], "argument --port: invalid int value: 'many'"),
        (["--rocket"], "unrecognized arguments: --rocket"),
        (["--app", "none.yml"], "No such file or directory: 'none.yml'"),
        (["--version", "foo"], "foo"),
        (["--host", "256.0.0.1", "--port", "0"], "cannot start on 256.0.0.1, port 0"),
    ],
)
def test_what_is_wrong_with_an_option_is_told_in_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    line = capsys.readouterr().err or f"{raised.value}\n"
    assert line.startswith("dify-local: ")
    assert told in line
    assert line.count("\n") == 1


def test_the_help_explains(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    options = re.findall(r"^  (--[\w-]+)", shown, re.MULTILINE)
    assert {"--host", "--app", "--reload", "--documents", "--quiet"} <= set(options)
    assert "dify-local --app support.yml --reload" in shown
