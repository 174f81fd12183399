"""The names of the package, which are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

THREADS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import llama_index_dify
names = "Dify DifyIndex DifyQueryEngine DifyResponse DifyToolStreamEvent EmbedInDify".split()
sys.setswitchinterval(1e-5)
start = threading.Barrier(len(names))
def first(name):
    start.wait()
    return getattr(llama_index_dify, name).__name__
with ThreadPoolExecutor(len(names)) as pool:
    assert list(pool.map(first, names)) == names
"""


def test_threads_come_first_by_different_names() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", THREADS], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
