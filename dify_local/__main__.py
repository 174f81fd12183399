"""`python -m dify_local`: serve until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import threading

from dify_local.server import LocalDify

_KEY_VARIABLE = "DIFY_LOCAL_UPSTREAM_KEY"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dify_local", description="A Dify-compatible server in one process."
    )
    parser.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1 (8080)")
    parser.add_argument("--documents", metavar="DIR", help="folder of .md and .txt files")
    parser.add_argument(
        "--database", metavar="FILE", default=":memory:", help="SQLite file (in memory)"
    )
    parser.add_argument(
        "--token-delay", type=float, default=0.02, metavar="S", help="seconds per token (0.02)"
    )
    parser.add_argument("--version", default="1.16.0", help="Dify release to show (1.16.0)")
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help=f"OpenAI-compatible endpoint to answer with; its key is read from {_KEY_VARIABLE}",
    )
    parser.add_argument("--upstream-model", metavar="MODEL", help="model of that endpoint")
    return parser


def banner(server: LocalDify) -> str:
    """Return what is printed when the server has started."""
    width = max(map(len, server.keys))
    keys = "\n".join(f"  {name:<{width}}  {key}" for name, key in server.keys.items())
    curl = (
        f"curl -N {server.base_url}/chat-messages \\\n"
        f"  -H 'Authorization: Bearer {server.keys['chat']}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"inputs": {}, "query": "Which planet has the most moons?", '
        '"response_mode": "streaming", "user": "me"}\''
    )
    return (
        f"Dify-compatible server at {server.base_url}\n\nAPI keys by app:\n{keys}\n"
        f"  {'(dataset)':<{width}}  {server.dataset_key}   dataset id {server.dataset_id}\n\n"
        f"Try:\n{curl}\n\nCtrl-C stops."
    )


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C, or SIGTERM.

    Args:
        arguments: Command line; that of the process when left out.
    """
    options = parser().parse_args(arguments)
    server = LocalDify(
        documents=options.documents,
        database=options.database,
        port=options.port,
        token_delay=options.token_delay,
        upstream=options.upstream,
        upstream_key=os.environ.get(_KEY_VARIABLE),
        upstream_model=options.upstream_model,
        version=options.version,
    )
    try:
        server.start()
    except (OSError, OverflowError, sqlite3.Error) as error:
        sys.exit(f"dify_local cannot start on port {options.port}: {error}")
    stopped = threading.Event()
    # Set also where a shell has Ctrl-C ignored, as it does for what runs in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    print(banner(server), flush=True)
    stopped.wait()
    server.stop()
    print("\nStopped.")


if __name__ == "__main__":
    main()
