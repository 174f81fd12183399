"""`python -m tests.batch [ROWS]`: thousands of rows, 3 % faults, two kill -9, and a count."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dify_batch import Result, read_results
from tests.batch.server import generations_in

SHARE = 0.03
KILLS_AT = (0.3, 0.65)  # of the rows


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        return _run(Path(name), count)


def _run(folder: Path, count: int) -> int:
    database, rows = folder / "server.sqlite", folder / "rows.csv"
    rows.write_text("question\n" + "".join(f'"/tokens 20\nRow {n}"\n' for n in range(count)))
    arguments = [sys.executable, "-m", "tests.batch.server", str(database), str(SHARE), "0.0"]
    pipe = subprocess.PIPE
    server = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True)
    assert server.stdout is not None
    base_url, key = server.stdout.readline().split()
    environment = {**os.environ, "DIFY_BASE_URL": base_url, "DIFY_API_KEY": key}
    output = folder / "answers.jsonl"
    began = time.monotonic()
    for share in (*KILLS_AT, None):
        lines = None if share is None else int(count * share)
        code = _batch(rows, output, environment, lines)
        print(f"ended with {code} after {_lines(output)} results, {time.monotonic() - began:.0f} s")
    spoiled, _ = server.communicate()
    return _check(list(read_results(output)), database, count, int(spoiled))


def _batch(rows: Path, output: Path, environment: dict[str, str], kill_at: int | None) -> int:
    """Run the command; kill it when so many results are there. Prints what it used."""
    command = [sys.executable, "-m", "dify_batch", str(rows), str(output), "--quiet"]
    command += ["--query-column", "question"]
    process = subprocess.Popen(command, env=environment)
    sizes: list[int] = []
    while process.poll() is None:
        time.sleep(0.5)
        sizes.append(_kilobytes(process.pid))
        if kill_at is not None and _lines(output) >= kill_at:
            process.send_signal(signal.SIGKILL)
            process.wait()
    sizes = [size for size in sizes if size]
    tenth = len(sizes) // 10
    if sizes:
        print(f"memory: {sizes[tenth] // 1024} MB after a tenth, {sizes[-1] // 1024} MB at the end")
    return process.returncode


def _check(results: list[Result], database: Path, count: int, spoiled: int) -> int:
    with sqlite3.connect(database) as connection:
        generations = generations_in(connection)
    repeats = sum(len(result.repeats) for result in results)
    failed = [result for result in results if result.status == "failed"]
    once = sorted(result.row or 0 for result in results) == list(range(count))
    unnamed = [
        result.row
        for result in results
        if generations[str(result.input["question"])] != len(result.repeats) + 1
    ]
    print(f"{count} rows, {spoiled} faults, {len(results)} results, each row once: {once}")
    print(f"{sum(generations.values())} generations = {count} + {repeats} named repeats")
    print(f"{len(failed)} failed, {sum(result.picked_up for result in results)} picked up")
    print(f"rows whose generations are not those that they name: {unnamed or 'none'}")
    return 0 if once and not failed and not unnamed else 1


def _lines(output: Path) -> int:
    return output.read_bytes().count(b"\n") if output.exists() else 0


def _kilobytes(pid: int) -> int:
    """Resident memory; 0 if the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line), 0)


if __name__ == "__main__":
    sys.exit(main())
