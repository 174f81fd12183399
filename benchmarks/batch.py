"""`python -m benchmarks.batch`: client CPU per row of dify_batch, beside a loop written by hand.

The loop is what one writes for a file of questions: aiohttp, a semaphore, an answer's events
parsed, a line of JSON for each row. It keeps no journal, knows no limits, repeats nothing and loses
what is under way. Both ask one local server in a process of its own, in turns; a ratio is taken
within each round, and the median shown.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONCURRENCY = 16
ROWS, ROUNDS = 300, 5
TOKENS = (20, 100)  # of an answer; the bar is about the longer one


def with_dify_batch(rows: Path, output: Path) -> None:
    from dify_api import DifyClient
    from dify_batch import Columns, Limits, run

    columns, limits = Columns(query="question"), Limits(concurrency=CONCURRENCY)
    run(rows, DifyClient(), output, columns=columns, limits=limits)


def by_hand(rows: Path, output: Path) -> None:
    asyncio.run(_by_hand(rows, output))


async def _by_hand(rows: Path, output: Path) -> None:
    import aiohttp

    url = os.environ["DIFY_BASE_URL"] + "/chat-messages"
    headers = {"Authorization": f"Bearer {os.environ['DIFY_API_KEY']}"}
    places = asyncio.Semaphore(CONCURRENCY)

    async def ask(session: aiohttp.ClientSession, question: str) -> None:
        body = {"inputs": {}, "query": question, "response_mode": "streaming", "user": "loop"}
        async with places:
            text, end, began = [], {}, time.monotonic()
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                async for line in response.content:
                    if line.startswith(b"data: "):
                        event = json.loads(line[6:])
                        if event["event"] == "message":
                            text.append(event["answer"])
                        elif event["event"] == "message_end":
                            end = event
            record = {
                "question": question,
                "answer": "".join(text),
                "usage": end["metadata"]["usage"],
                "retriever_resources": end["metadata"]["retriever_resources"],
                "conversation_id": end["conversation_id"],
                "message_id": end["message_id"],
                "latency": time.monotonic() - began,
            }
            file.write(json.dumps(record) + "\n")
            file.flush()

    async with aiohttp.ClientSession(headers=headers) as session:
        with rows.open(newline="") as source, output.open("w") as file:
            questions = [row["question"] for row in csv.DictReader(source)]
            await asyncio.gather(*(ask(session, question) for question in questions))


CONTENDERS = {"dify_batch": with_dify_batch, "aiohttp loop": by_hand}


def measure(name: str, rows: str, warm: str, output: str) -> None:
    """In a process of its own: print CPU seconds, the imports and a few rows not counted."""
    CONTENDERS[name](Path(warm), Path(output + ".warm.jsonl"))
    began = time.process_time()
    CONTENDERS[name](Path(rows), Path(output))
    print(time.process_time() - began)


def _write_rows(path: Path, count: int, tokens: int) -> Path:
    lines = (f'"/tokens {tokens}\nRow {number}"\n' for number in range(count))
    path.write_text("question\n" + "".join(lines))
    return path


def ratio(folder: Path, tokens: int) -> float:
    """Take the figures of answers of one length, and print them."""
    rows = _write_rows(folder / "rows.csv", ROWS, tokens)
    warm = _write_rows(folder / "warm.csv", CONCURRENCY, tokens)
    figures: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    for turn in range(ROUNDS):
        for contender in CONTENDERS:
            output = folder / f"{contender} {tokens} {turn}.jsonl"
            arguments = [contender, str(rows), str(warm), str(output)]
            command = [sys.executable, "-m", "benchmarks.batch", *arguments]
            seconds = float(subprocess.check_output(command, text=True))
            assert output.read_bytes().count(b"\n") == ROWS
            figures[contender].append(seconds / ROWS * 1000)
    print(f"{ROWS} rows of {tokens} tokens, {ROUNDS} rounds; ms of CPU per row:")
    for contender, values in figures.items():
        print(f"  {contender:<13} {statistics.median(values):.2f}")
    ratios = [ours / theirs for ours, theirs in zip(*figures.values(), strict=True)]
    print(f"  {statistics.median(ratios):.2f} times the loop", flush=True)
    return statistics.median(ratios)


def main() -> int:
    from dify_local import LocalDify

    with tempfile.TemporaryDirectory() as name, LocalDify() as server:
        os.environ |= {"DIFY_BASE_URL": server.base_url, "DIFY_API_KEY": server.keys["chat"]}
        ratios = [ratio(Path(name), tokens) for tokens in TOKENS]
    return 0 if ratios[-1] <= 1.5 else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*sys.argv[1:])
    else:
        sys.exit(main())
