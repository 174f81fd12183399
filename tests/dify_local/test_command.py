from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dify_local import LocalDify
from dify_local.__main__ import banner, main, parser


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-m", "dify_local", "--port", "0", "--token-delay", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        base_url = first.split()[-1]
        headers = {"Authorization": "Bearer app-chat"}
        assert httpx.get(f"{base_url}/info", headers=headers).status_code == 200
        process.send_signal(number)
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
