"""`dify-local`, or `python -m dify_local`: serve until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sqlite3
import sys
import threading
from typing import NoReturn
from urllib.parse import urlsplit

from dify_local._apps.exports import load_app
from dify_local._changes import Changes
from dify_local.server import LocalDify

_KEY_VARIABLE = "DIFY_LOCAL_UPSTREAM_KEY"
_LOOK_EVERY = 0.5

_EPILOG = """\
There is an app for every mode of Dify, with an API key that the first lines name. They answer from
documents about the solar system, or from those of --documents. Open the address in a browser to
talk to them, or point a client at it: the base URL ends in /v1.

A query that begins with one of these is obeyed: /echo TEXT, /tokens N, /json JSON, /think TEXT,
/slow SECONDS, /hang, /fail, /replace TEXT, /files, /tts, /pause.

examples:
  dify-local
  dify-local --app support.yml --reload         an app exported from Dify, read anew when it changes
  dify-local --documents handbook --database handbook.sqlite
  dify-local --upstream http://localhost:11434/v1 --upstream-model llama3.2
"""


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; --help tells more\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="dify-local",
        description="A Dify-compatible server in one process.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=8080, help="port (8080); 0 takes a free one")
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen at (127.0.0.1); at 0.0.0.0 everybody in your network can use it",
    )
    add(
        "--app",
        metavar="FILE",
        action="append",
        default=[],
        help="an app of yours: its DSL exported from Dify (.yml), or its /info and /parameters "
        "(.json); may be given several times",
    )
    add("--documents", metavar="DIR", help="folder of Markdown, text and PDF files to answer from")
    add(
        "--reload",
        action="store_true",
        help="start anew when an app or a document changes; conversations stay with --database",
    )
    add("--database", metavar="FILE", default=":memory:", help="SQLite file (in memory)")
    add("--token-delay", type=float, default=0.02, metavar="S", help="seconds per token (0.02)")
    add(
        "--version",
        default="1.16.0",
        help="Dify release to behave as: 0.15, or 1.0 to 1.17 (1.16.0)",
    )
    add(
        "--upstream",
        metavar="URL",
        help=f"OpenAI-compatible endpoint to answer with; its key is read from {_KEY_VARIABLE}",
    )
    add("--upstream-model", metavar="MODEL", help="model of that endpoint")
    add("--quiet", action="store_true", help="log no requests")
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
        f"Open {server.base_url.removesuffix('v1')} in a browser, or try:\n{curl}\n\nCtrl-C stops."
    )


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C, or SIGTERM.

    Args:
        arguments: Command line; that of the process when left out.
    """
    options = parser().parse_args(arguments)
    _log_to_stderr(logging.WARNING if options.quiet else logging.INFO)
    changes = Changes([*options.app, *([options.documents] if options.documents else [])])
    try:
        server = _started(options)
    except _Problem as problem:
        sys.exit(f"dify-local: {problem}")
    stopped = threading.Event()
    # Set also where a shell has Ctrl-C ignored, as it does for what runs in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    print(banner(server), flush=True)
    options.port = urlsplit(server.base_url).port
    while not stopped.wait(_LOOK_EVERY if options.reload else None):
        changed = changes.since_last()
        if changed:
            server = _reloaded(server, options, changed)
    server.stop()
    print("\nStopped.")


class _Problem(Exception):  # noqa: N818 - told to the person, not raised to a program
    """What keeps the server from starting."""


def _server(options: argparse.Namespace) -> LocalDify:
    try:
        return LocalDify(
            documents=options.documents,
            database=options.database,
            port=options.port,
            token_delay=options.token_delay,
            upstream=options.upstream,
            upstream_key=os.environ.get(_KEY_VARIABLE),
            upstream_model=options.upstream_model,
            version=options.version,
            apps=[load_app(file) for file in options.app],
            host=options.host,
        )
    except (OSError, ValueError, ImportError) as error:
        raise _Problem(str(error)) from error


def _started(options: argparse.Namespace) -> LocalDify:
    server = _server(options)
    try:
        return server.start()
    except (OSError, OverflowError, ValueError, sqlite3.Error) as error:
        where = f"port {options.port}"
        where = where if options.host == "127.0.0.1" else f"{options.host}, {where}"
        raise _Problem(f"cannot start on {where}: {error}") from error


def _reloaded(server: LocalDify, options: argparse.Namespace, changed: str) -> LocalDify:
    """Return a server that knows what has changed, or the one there is if that is of no use."""
    log = logging.getLogger("dify_local")
    try:
        _server(options)
        server.stop()
        server = _started(options)
    except _Problem as problem:
        log.warning("%s has changed, but: %s", changed, problem)
    else:
        log.info("%s has changed; started anew", changed)
    return server


def _log_to_stderr(level: int) -> None:
    logger = logging.getLogger("dify_local")
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    # It warns of every client that leaves early; here that is nothing unusual.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
