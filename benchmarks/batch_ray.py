"""`python -m benchmarks.batch_ray`: rows per second of one and of two Ray workers.

The local server takes its time for each answer, so that it is not the limit: each worker has so
many requests under way, and two of them twice as many. Counted is from the first result to the
last, without the start of Ray's actors. Needs the extra `ray`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

CONCURRENCY = 8  # of each worker
ROWS, TOKENS, DELAY = 96, 20, 0.15  # of each worker; seconds for a token


def rows_per_second(workers: int, folder: Path) -> float:
    import ray

    from dify_api import DifyClient
    from dify_batch import Columns, Limits, read_results
    from dify_batch.ray import ask

    rows = [{"query": f"/tokens {TOKENS}\n{number}"} for number in range(ROWS * workers)]
    limits = Limits(concurrency=CONCURRENCY * workers)
    dataset = ray.data.from_items(rows)
    ask(
        dataset, DifyClient(), folder, columns=Columns(), limits=limits, workers=workers
    ).materialize()
    results = [result for part in folder.glob("part-*.jsonl") for result in read_results(part)]
    assert len(results) == len(rows)
    assert all(result.status == "succeeded" for result in results)
    moments = sorted(result.finished_at for result in results)
    return (len(moments) - CONCURRENCY * workers) / (
        moments[-1] - moments[CONCURRENCY * workers - 1]
    ).total_seconds()


def main() -> int:
    import ray

    from dify_local import LocalDify

    with LocalDify(token_delay=DELAY) as server, tempfile.TemporaryDirectory() as name:
        os.environ |= {"DIFY_BASE_URL": server.base_url, "DIFY_API_KEY": server.keys["chat"]}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        ray.data.DataContext.get_current().enable_progress_bars = False
        rates = {workers: rows_per_second(workers, Path(name, str(workers))) for workers in (1, 2)}
        ray.shutdown()
    for workers, rate in rates.items():
        print(f"{workers} workers: {rate:.1f} rows/s")
    print(f"{rates[2] / rates[1]:.2f} times")
    return 0 if rates[2] >= 1.7 * rates[1] else 1


if __name__ == "__main__":
    sys.exit(main())
