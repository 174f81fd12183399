"""A server that takes bodies of any size without keeping them, and counts their bytes."""

from __future__ import annotations

import http.server
import threading
from typing import Any

_PIECE = 2**16


class DiscardServer:
    """Answers each POST by `body`; `lengths` holds the bytes of each request's body."""

    def __init__(self, body: bytes) -> None:
        self.lengths: list[int] = []
        lengths = self.lengths

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                left = length = int(self.headers["content-length"])
                while left:
                    left -= len(self.rfile.read(min(left, _PIECE)))
                lengths.append(length)
                self.send_response(201)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> DiscardServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
