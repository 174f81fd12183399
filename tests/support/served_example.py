"""A web server among the examples, in this process."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from tests.support.examples import EXAMPLES


@contextmanager
def served(name: str, **variables: str) -> Iterator[str]:
    """Address of the example's server, while the block runs; `variables` are of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec
        assert spec.loader
        example = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, name, example)  # FastAPI looks there for annotations
        spec.loader.exec_module(example)
        config = uvicorn.Config(example.app, port=0, log_level="error")
        server = uvicorn.Server(config)
        listening = config.bind_socket()
        listening.listen()  # who connects before the server has started waits for it
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
