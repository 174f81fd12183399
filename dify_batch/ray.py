"""A batch on many machines: a Ray Data dataset through an app.

Each worker is a Ray actor with one event loop and one pool of connections; the limits are kept by
one more actor, so that they hold for all workers together. Each worker writes the results of its
rows to a file of its own in a folder that all machines share, and from all files there it knows
what is done::

    import ray
    from dify_api import DifyClient
    from dify_batch import Columns
    from dify_batch.ray import ask

    rows = ray.data.read_csv("questions.csv")
    answers = ask(rows, DifyClient(), "/data/answers", columns=Columns(query="question"))
    answers.write_parquet("/data/table")

The key is not sent along: workers take it from `DIFY_API_KEY` of their own environment.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import ray  # pyright: ignore[reportMissingImports]  # of the extra "ray" alone
from typing_extensions import Unpack

from dify_api._runs.flows import run as run_flow
from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.connection import Connection, DifyConnection
from dify_batch import _parquet
from dify_batch._app import App, Request, describe
from dify_batch._ask import Asker
from dify_batch._journal import Journal
from dify_batch._pace import Outcome, Pace
from dify_batch._parts import Parts
from dify_batch._run import DEFAULT_USER, BatchOptions
from dify_batch._run import App as AppOption
from dify_batch.options import Columns, Limits
from dify_batch.results import Result

_CALLS = 10_000  # that may wait at a time for the actor of the limits


def ask(
    dataset: ray.data.Dataset,
    app: AppOption,
    folder: str | Path,
    *,
    workers: int = 2,
    num_cpus: float = 0.25,
    **options: Unpack[BatchOptions],
) -> ray.data.Dataset:
    """Ask an app for each row of a dataset, when the dataset that is returned is read.

    Rows that have a result in the folder are not asked again: to go on after a break, call it again
    with the same arguments. Rows with the same content have one result, unless `Columns.id` tells
    them apart. Rows that a budget leaves unasked are missing from what is returned.

    Args:
        dataset: The rows.
        app: A client of the app.
        folder: Where results are kept, a path that is the same on all machines.
        workers: Actors that ask.
        num_cpus: Of a worker, which mostly waits. A whole CPU each would leave none to those that
            read the rows, on a small machine.
        **options: As for `dify_batch.run`: columns, limits (of all workers together), user,
            workflow_id, retry_failed. Progress is Ray's own.

    Returns:
        A dataset of results, with the columns of a Parquet output.

    Raises:
        TypeError: For an option that there is not.
        ValueError: If the columns are not fit.
        DifyError: If the app cannot be asked what it takes.
    """
    unknown = options.keys() - {"columns", "limits", "user", "workflow_id", "retry_failed"}
    if unknown:
        raise TypeError(f"unexpected argument: {', '.join(sorted(unknown))}")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    connection = _connection(app)
    place, limits = Path(folder).resolve(), options.get("limits", Limits())
    place.mkdir(parents=True, exist_ok=True)
    described = run_flow(
        DifyClient.over(connection),
        describe(
            connection.app,
            options.get("columns", Columns()),
            dataset.columns() or [],
            user=options.get("user", DEFAULT_USER),
            workflow_id=options.get("workflow_id"),
            folder=Path.cwd(),
        ),
    )
    parts = Parts(place)
    if options.get("retry_failed", False):
        parts.drop_failed()
    earlier = [(result.price, result.status == "failed") for result in parts.results()]
    shared: Any = ray.remote(_SharedPace)
    pace = shared.options(num_cpus=0, max_concurrency=_CALLS).remote(limits, earlier)
    size = math.ceil(limits.concurrency / workers)
    # A worker takes a block at a time, and several of its batches; when the last rows of these are
    # going on it has less to do, so that a batch is more than go on at a time.
    return dataset.repartition(target_num_rows_per_block=16 * size).map_batches(
        _Worker,
        fn_constructor_args=(_Settings(connection, described, place, limits), pace),
        batch_size=4 * size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=num_cpus,
    )


def _connection(app: AppOption) -> Connection:
    """The connection of an app on its own, which can be pickled, the key left out."""
    given = app if isinstance(app, DifyConnection) else app.connection
    fields = {name: getattr(given, name) for name in DifyConnection.model_fields}
    return Connection.model_construct(**fields)


@dataclass(frozen=True)
class _Settings:
    """What a worker is made with."""

    connection: Connection
    app: App
    folder: Path
    limits: Limits


class _SharedPace:
    """The limits of all workers together. A worker that is started anew has another `life`."""

    def __init__(self, limits: Limits, earlier: list[tuple[Decimal | None, bool]]) -> None:
        self._pace = Pace(limits)
        self._lives: dict[str, str] = {}  # by worker
        self._going_on = Counter[str]()  # requests, by life
        for price, failed in earlier:
            self._pace.count(price, failed=failed)

    async def begin(self, worker: str, life: str) -> None:
        """A worker begins, perhaps anew: what it was doing before goes on no longer."""
        for _ in range(self._going_on.pop(self._lives.get(worker, ""), 0)):
            self._pace.release(Outcome())
        self._lives[worker] = life

    async def acquire(self, life: str) -> bool:
        """Wait until a request may begin; False if the batch is to stop."""
        if not await self._pace.acquire():
            return False
        self._going_on[life] += 1
        if life not in self._lives.values():  # it ended while this waited
            self._release(life, Outcome())
            return False
        return True

    async def release(self, life: str, outcome: Outcome) -> None:
        """Tell how a request ended."""
        if self._going_on[life]:
            self._release(life, outcome)

    def _release(self, life: str, outcome: Outcome) -> None:
        self._going_on[life] -= 1
        self._pace.release(outcome)

    async def count(self, price: Decimal | None, failed: bool) -> None:
        """Take note of a result, as `Pace.count` does."""
        self._pace.count(price, failed=failed)


class _PaceOfWorker:
    """The shared limits as one worker sees them."""

    def __init__(self, shared: Any) -> None:
        self._shared, self._life = shared, uuid.uuid4().hex
        worker = ray.get_runtime_context().get_actor_id() or self._life
        ray.get(shared.begin.remote(worker, self._life))

    async def acquire(self) -> bool:
        return bool(await self._shared.acquire.remote(self._life))

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def release(self, outcome: Outcome) -> None:
        self._shared.release.remote(self._life, outcome)

    def count(self, price: Decimal | None, *, failed: bool) -> None:
        self._shared.count.remote(price, failed)


class _Worker:
    """An actor of Ray Data: all its batches run on one event loop."""

    def __init__(self, settings: _Settings, shared: Any) -> None:
        self._settings = settings
        self._pace = _PaceOfWorker(shared)
        self._parts = Parts(settings.folder)
        self._journal = Journal(self._parts.new())
        self._asker: Asker | None = None
        self._asked = WeakValueDictionary[str, asyncio.Future[Result | None]]()

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        """Ask for the rows of a batch."""
        if self._asker is None:  # on the loop now, to which connections belong
            settings = self._settings
            client = AsyncDifyClient.over(settings.connection)
            attempts = settings.limits.attempts
            self._asker = Asker(client, settings.app, self._journal, self._pace, attempts)
        self._parts.read_ended()
        requests = [self._settings.app.request(row, None) for row in batch.to_pylist()]
        found = await asyncio.gather(*(self._result(self._asker, request) for request in requests))
        yield _parquet.table([result for result in found if result is not None])

    async def _result(self, asker: Asker, request: Request) -> Result | None:
        if done := self._parts.result(request.id):
            return done
        if request.id not in self._asked:
            self._asked[request.id] = asyncio.ensure_future(self._ask(asker, request))
        return await self._asked[request.id]

    async def _ask(self, asker: Asker, request: Request) -> Result | None:
        if attempts := self._parts.attempts(request.id):
            self._journal.adopt(request.id, attempts)
        result = await asker.ask(request)
        if result is not None:
            begins = await self._journal.write(result)
            self._parts.add(request.id, self._journal.path, begins)
            self._journal.forget(request.id)
            if result.picked_up or result.status == "failed":
                price = result.price if result.picked_up else None
                self._pace.count(price, failed=result.status == "failed")
        return result
