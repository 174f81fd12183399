"""Runs the cases: the server and each contender in a process of its own, taking turns."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.cases import IMPORTS, Case
from benchmarks.contenders import ENTRIES
from benchmarks.results import Results
from benchmarks.worker import Task, as_line

ROOT = Path(__file__).parent.parent
_IMPORT = "import time; start = time.process_time(); {}; print(time.process_time() - start)"
_MEASURED = (
    "httpx",
    "aiohttp",
    "pydantic",
    "langchain-core",
    "langchain-openai",
    "langchain-mistralai",
    "llama-index-core",
    "llama-index-llms-openai-like",
    "openai",
    "dify-oapi2",
)


class NotInstalledError(Exception):
    """A contender that cannot be measured here."""


class Process:
    """A worker process, to give tasks to."""

    def __init__(self, contender: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contender],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        started = self._read()
        if "skipped" in started:
            self.close()
            raise NotInstalledError(started["skipped"])

    def run(self, task: Task) -> dict[str, float]:
        """Have a task carried out.

        Raises:
            RuntimeError: If it fails.
        """
        assert self._process.stdin
        self._process.stdin.write(as_line(task))
        self._process.stdin.flush()
        measured = self._read()
        if "error" in measured:
            raise RuntimeError(measured["error"])
        return measured

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"the worker ended: {self._errors.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


class Run:
    """One run of all cases.

    Args:
        server: URL of the server.
        rounds: How often each figure is taken; contenders take turns within a round.
    """

    def __init__(self, server: str, rounds: int) -> None:
        self._server = server
        self._rounds = rounds
        self._processes: dict[str, Process] = {}
        self.results = Results(facts=_facts())

    def measure(self, cases: Iterable[Case]) -> None:
        """Run cases, filling `results`."""
        for case in cases:
            self.results.titles[case.name] = case.title
            self.results.units[case.name] = case.unit
            contenders = [name for name in case.contenders if self._is_ready(name)]
            for name in contenders:
                self._warm(case, name)
            for _ in range(self._rounds):
                for name in contenders:
                    self._take(case, name)
            print(f"{case.name}: {len(contenders)} contenders", file=sys.stderr, flush=True)

    def measure_imports(self) -> None:
        """Time import statements, each in fresh processes, with bytecode as pip installs it."""
        self.results.titles["import"] = "importing"
        self.results.units["import"] = "ms"
        with tempfile.TemporaryDirectory() as bytecode:
            kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
            for turn in range(self._rounds + 1):  # the first one makes it, and warms the disk cache
                for name, statement in IMPORTS.items():
                    done = subprocess.run(
                        [sys.executable, "-c", _IMPORT.format(statement)],
                        cwd=ROOT,
                        env={**os.environ, **kept},
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                    if done.returncode == 0 and turn:
                        self.results.add("import", name, float(done.stdout) * 1e3)

    def close(self) -> None:
        """End all workers."""
        for process in self._processes.values():
            process.close()
        self._processes.clear()

    def _is_ready(self, name: str) -> bool:
        if name not in self._processes and name not in self.results.skipped:
            try:
                self._processes[name] = Process(name)
            except NotInstalledError as reason:
                self.results.skipped[name] = str(reason)
                print(f"skipped {name}: {reason}", file=sys.stderr, flush=True)
        return name in self._processes

    def _warm(self, case: Case, name: str) -> None:
        task = case.warming(self._server)
        if task is not None:
            with self._noting(case, name):
                self._processes[name].run(task)

    def _take(self, case: Case, name: str) -> None:
        if _place(case, name) in self.results.failed:
            return
        before = self._requests()
        with self._noting(case, name):
            measured = self._measured(case, name)
            self.results.add(case.name, name, case.figure(measured))
            if case.name == "first-token":
                self.results.requests[name] = (self._requests() - before) / case.times
            if "built" in measured:
                self.results.built[name] = measured["built"]

    @contextlib.contextmanager
    def _noting(self, case: Case, name: str) -> Iterator[None]:
        """Note a failure; the others go on."""
        try:
            yield
        except RuntimeError as error:
            self.results.failed[_place(case, name)] = str(error)
            print(f"failed {_place(case, name)}: {error}", file=sys.stderr, flush=True)

    def _measured(self, case: Case, name: str) -> dict[str, float]:
        task = case.task(self._server)
        if not case.fresh:
            return self._processes[name].run(task)
        with contextlib.closing(Process(name)) as process:
            return process.run(task)

    def _requests(self) -> int:
        with urllib.request.urlopen(f"{self._server}/requests") as reply:
            return int(reply.read())


def _place(case: Case, name: str) -> str:
    return f"{case.name} / {name}"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The benchmark's server in another process; its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # closes with this process, however it ends
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def run(cases: Iterable[Case], rounds: int, imports: bool = True) -> Results:
    """Measure everything and say what came out."""
    with server() as url, contextlib.closing(Run(url, rounds)) as measuring:
        with contextlib.suppress(KeyboardInterrupt):  # what there is, is reported
            if imports:
                measuring.measure_imports()
            measuring.measure(cases)
        return measuring.results


def titles() -> dict[str, str]:
    """Contender -> its title."""
    return {name: entry.title for name, entry in ENTRIES.items()}


def _facts() -> dict[str, Any]:
    versions = {}
    for name in _MEASURED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": versions,
    }
