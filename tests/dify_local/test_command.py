from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from dify_local import LocalDify
from dify_local.__main__ import banner, parser


def test_the_command_serves_until_it_is_interrupted() -> None:
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
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert "app-completion" in rest
    assert rest.endswith("Stopped.\n")


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
