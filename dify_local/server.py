"""The server: an event loop in a thread of its own, listening on the loopback interface."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import uvicorn

from dify_local._answering import Answering
from dify_local._answers.responder import Responder
from dify_local._answers.upstream import Upstream
from dify_local._apps.app import App
from dify_local._apps.ready_made import APPS
from dify_local._http.application import DifyHeaders, make_application
from dify_local._http.uvicorn_server import ThreadedServer, TransportProtocol
from dify_local._protocol.release import Release
from dify_local._protocol.values import Chance, use
from dify_local._runs.generation import Pace
from dify_local._runs.service import DATASET_KEY, Service
from dify_local._storage.files import Uploads
from dify_local._storage.knowledge import (
    PIPELINE_DATASET_ID,
    SHIPPED_DOCUMENTS,
    Knowledge,
    Tables,
    Writer,
    add_pipeline,
    dataset_id,
    read_folder,
)
from dify_local._storage.store import Store
from dify_local._testing.faults import Fault, Faults
from dify_local._testing.journal import Journal, RecordedRequest
from dify_local._testing.recorder import Recorder
from dify_local._testing.replay import Recordings


def _by_key(apps: Iterable[App]) -> dict[str, App]:
    found: dict[str, App] = {}
    for app in apps:
        if app.key in found:
            raise ValueError(f"Two apps are called {app.name!r}")
        found[app.key] = app
    return found


class LocalDify(Answering):
    """A Dify-compatible server in this process.

    Args:
        documents: Folder of Markdown, text and PDF files to answer from, with the folders inside
            it; the shipped ones about the solar system when left out.
        database: SQLite file that keeps conversations, or `:memory:`.
        port: Port on 127.0.0.1; 0 takes a free one.
        token_delay: Seconds before each token.
        upstream: Base URL of an OpenAI-compatible endpoint that answers, instead of sentences of
            the documents.
        upstream_key: API key of that endpoint.
        upstream_model: Model to ask there.
        version: Dify release whose behaviour is shown: 0.15, or any from 1.0 to 1.17, such as
            `1.12.1`; the order of a chatflow's last events depends on it, for one.
        auto_tts: Whether every answer is read aloud.
        ping_interval: Seconds between the pings of a stream.
        indexing_delay: Seconds that a new document stays in each state of its indexing.
        apps: Apps of your own, beside the ready-made ones; one of the same name replaces it.
        host: Address to listen at; other machines can reach the server at `0.0.0.0`.
        seed: Makes ids the same in every run, and stops the clock; each `clear` begins anew.

    Attributes:
        base_url: Base URL of the API, ending in `/v1`; known once the server has started.
        keys: API keys by the name of the app.
        dataset_key: API key of the knowledge base.
        dataset_id: Id of the knowledge base.
        pipeline_dataset_id: Id of a knowledge base that has a pipeline, whose form asks for `note`.

    Raises:
        ValueError: Two apps have the same name, the release is none that can be shown, a delay is
            negative, or the upstream is no URL.

    Example:
        >>> import httpx
        >>> with LocalDify() as server:
        ...     headers = {"Authorization": f"Bearer {server.keys['chat']}"}
        ...     httpx.get(f"{server.base_url}/info", headers=headers).json()["mode"]
        'chat'
    """

    def __init__(
        self,
        documents: str | Path | None = None,
        database: str | Path = ":memory:",
        port: int = 0,
        token_delay: float = 0.0,
        upstream: str | None = None,
        upstream_key: str | None = None,
        upstream_model: str | None = None,
        version: str = "1.16.0",
        auto_tts: bool = False,
        ping_interval: float = 10.0,
        indexing_delay: float = 0.0,
        apps: Iterable[App] = (),
        host: str = "127.0.0.1",
        seed: int | None = None,
    ) -> None:
        self._journal = Journal()
        known = {app.key: app for app in APPS}
        known.update(_by_key(apps))
        super().__init__(known, Recordings(self._journal, token_delay))
        self.dataset_key = DATASET_KEY
        self.base_url = ""
        self._host = host
        self._port = port
        self._chance = Chance(seed)
        self._release = Release(version)
        self._database = str(database)
        self._pace = Pace(token_delay, ping_interval)
        self._auto_tts = auto_tts
        self._indexing_delay = indexing_delay
        self._upstream = (
            Upstream(upstream, upstream_model or "default", upstream_key) if upstream else None
        )
        self._documents = Path(documents).resolve() if documents else SHIPPED_DOCUMENTS
        self.dataset_id = dataset_id(self._documents)
        self.pipeline_dataset_id = PIPELINE_DATASET_ID
        self._faults = Faults()
        self._service: Service | None = None
        self._thread: threading.Thread | None = None
        self._server: ThreadedServer | None = None

    def start(self) -> LocalDify:
        """Start the server, unless it runs already, and return it when it answers.

        Raises:
            OSError: The port is taken.
            FileNotFoundError: The folder of documents is not there.
            ValueError: It has no documents, or one of them cannot be read.
        """
        if self._server:
            return self
        # asyncio turns Nagle's delay off only where the protocol is named.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
            host = "127.0.0.1" if self._host == "0.0.0.0" else self._host  # noqa: S104
            address = f"http://{host}:{listener.getsockname()[1]}"
            context = contextvars.copy_context()
            context.run(use, self._chance)
            self._server = ThreadedServer(context.run(self._config, address))
            self._chance.mark()
        except BaseException:
            listener.close()
            raise
        self.base_url = f"{address}/v1"
        self._thread = threading.Thread(
            target=context.run,
            args=(self._server.run_until_closed, listener),
            name="dify-local",
            daemon=True,
        )
        self._thread.start()
        self._server.wait_until_ready()
        return self

    def _config(self, address: str) -> uvicorn.Config:
        store = Store(self._database)
        uploads = Uploads(store, address, self._release)
        writer = Writer(Tables(store), uploads)
        add_pipeline(writer.tables)
        dataset = read_folder(writer, self._documents)
        knowledge = Knowledge(writer.tables, dataset.id, dataset.name)
        version = self._release.version
        self._service = service = Service(
            store,
            knowledge,
            writer,
            Responder(knowledge, self._upstream, canned=self._canned),
            uploads,
            self._journal,
            self._release,
            self._pace,
            self._auto_tts,
            indexing_delay=self._indexing_delay,
            apps=self._apps,
        )
        application = DifyHeaders(make_application(service), version)
        spoiled = self._faults.around(self._recordings.around(application))
        return uvicorn.Config(
            Recorder(spoiled, self._journal, self._apps),
            http=TransportProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )

    def stop(self) -> None:
        """Stop the server: connections are cut, its thread ends."""
        if self._server and self._thread:
            self._server.close()
            self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> LocalDify:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> LocalDify:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def requests(self) -> list[RecordedRequest]:
        """Return the newest requests (ten thousand at most) in order of arrival."""
        return self._journal.requests

    @property
    def stopped(self) -> list[str]:
        """Return the task ids whose stop endpoint was called, in order."""
        return self._journal.stopped

    @property
    def disconnects(self) -> list[str]:
        """Return the task ids whose client left the stream before its end, in order."""
        return self._journal.disconnects

    def wait_for_stop(self, timeout: float = 5.0) -> str:
        """Wait for the next call of a stop endpoint and return its task id.

        Raises:
            TimeoutError: None came in time.
        """
        return self._journal.wait_for_stop(timeout)

    def wait_for_disconnect(self, timeout: float = 5.0) -> str:
        """Wait until a client has left a stream early and return the task id.

        Raises:
            TimeoutError: Nobody left in time.
        """
        return self._journal.wait_for_disconnect(timeout)

    def wait_for_requests(
        self, count: int, *, path: str | None = None, timeout: float = 5.0
    ) -> list[RecordedRequest]:
        """Wait until so many requests have arrived and return them.

        Args:
            count: How many.
            path: Count only those whose path contains this.
            timeout: Longest wait in seconds.

        Raises:
            TimeoutError: Fewer came in time.
        """
        return self._journal.wait_for_requests(count, path=path, timeout=timeout)

    def clear(self) -> None:
        """Forget all that has happened, and all that was told to happen.

        Requests, stops and disconnections; canned answers, and faults that have not happened yet;
        conversations, messages, files, annotations and runs, those in the database's file too.
        Of knowledge bases, what was written over the API. `clear_requests` leaves all that be.
        """
        self._journal.clear()
        self._faults.clear()
        self._forget_answers()
        if self._service and self._server:
            self._server.call(self._service.forget)
        self._chance.restart()

    def clear_requests(self) -> None:
        """Forget requests, stops and disconnections; what the server holds and plans stays."""
        self._journal.clear()

    def fault(
        self, kind: str, *, times: int = 1, path: str | None = None, **options: object
    ) -> Fault:
        """Make the next matching requests go wrong.

        The kinds and their options (pings count as events):

            status        status=500, body=None, headers=None, html=False
                                            refuse with this status
            delay         seconds=1.0       wait before the request is handled
            slow_headers  seconds=1.0       handle it, but hold its headers back
            drop          after_bytes=0     cut the connection in mid body, with a reset
            close         after_events=1    end the body cleanly, too early
            silence       after_events=1    send no more, keep the connection
            hold_open     seconds=None      keep the connection after the last event
            garbage       every=1           put junk between the events
            coalesce      events=4          send several events in one chunk
            split         size=1            send the body in chunks of so many bytes

        Args:
            kind: What goes wrong.
            times: How many requests it happens to, at least one.
            path: Only requests whose path contains this; stop endpoints only when named.
            **options: Details of the kind.

        Returns:
            The fault, which counts how often it has happened.

        Raises:
            ValueError: There is no such kind or option, or `times` is less than 1.

        Example:
            >>> with LocalDify() as server:
            ...     fault = server.fault("status", status=429, headers={"Retry-After": "1"})
        """
        return self._faults.add(kind, times=times, path=path, **options)
