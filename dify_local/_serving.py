"""The parts of a server, put together. They are many: a server imports this when it starts."""

from __future__ import annotations

from pathlib import Path

import uvicorn

from dify_local._http.application import DifyHeaders, make_application
from dify_local._http.uvicorn_server import ThreadedServer, TransportProtocol
from dify_local._protocol.release import Release
from dify_local._runs.service import Service
from dify_local._storage.files import Uploads
from dify_local._storage.knowledge import Knowledge, Tables, Writer, add_pipeline, read_folder
from dify_local._storage.store import Store
from dify_local._testing.faults import Faults
from dify_local._testing.recorder import Recorder
from dify_local._testing.replay import Recordings


def open_storage(
    database: str, documents: Path, address: str, release: Release
) -> tuple[Uploads, Writer, Knowledge]:
    """Open the database, and read the documents into it.

    Args:
        database: SQLite file, or `:memory:`.
        documents: Folder of the documents to answer from.
        address: Of the server, for the URLs of files.
        release: Which is shown.

    Raises:
        FileNotFoundError: The folder is not there.
        ValueError: It has no documents, or one of them cannot be read.
    """
    store = Store(database)
    uploads = Uploads(store, address, release)
    writer = Writer(Tables(store), uploads)
    add_pipeline(writer.tables)
    dataset = read_folder(writer, documents)
    return uploads, writer, Knowledge(writer.tables, dataset.id, dataset.name)


def make_server(service: Service, recordings: Recordings, faults: Faults) -> ThreadedServer:
    """A server of a service, behind what is replayed and what goes wrong."""
    application = DifyHeaders(make_application(service), service.release.version)
    spoiled = faults.around(recordings.around(application))
    return ThreadedServer(
        uvicorn.Config(
            Recorder(spoiled, service.journal, service.apps),
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
    )
