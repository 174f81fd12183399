"""The running service: its apps, its memory, its knowledge, and the generations in progress."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from dify_local._answers.responder import Responder
from dify_local._apps.app import App
from dify_local._apps.ready_made import APPS
from dify_local._protocol.release import Release
from dify_local._protocol.values import JsonObject
from dify_local._runs.generation import Generation, Pace
from dify_local._runs.workflow_run import WorkflowRun
from dify_local._storage.conversations import Conversations
from dify_local._storage.files import Uploads
from dify_local._storage.knowledge import PIPELINE_DATASET_ID, Knowledge, Tables, Writer
from dify_local._storage.knowledge.records import Document
from dify_local._storage.store import EndUser, Store
from dify_local._testing.journal import Journal

DATASET_KEY = "dataset-local"


@dataclass
class Service:
    """Everything the routes need."""

    store: Store
    knowledge: Knowledge
    writer: Writer
    responder: Responder
    uploads: Uploads
    journal: Journal
    release: Release
    pace: Pace
    auto_tts: bool = False
    indexing_delay: float = 0.0
    apps: dict[str, App] = field(default_factory=lambda: {app.key: app for app in APPS})
    generations: dict[str, Generation] = field(default_factory=dict)
    runs: dict[str, WorkflowRun] = field(default_factory=dict)
    # Runs that have, or had, a form; their forms are found again after they were answered.
    forms: dict[str, WorkflowRun] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.conversations = Conversations(self.store)

    @property
    def tables(self) -> Tables:
        """Return the knowledge bases."""
        return self.writer.tables

    def index(self, document: Document) -> None:
        """Index a document in the background, from the state that it is in."""
        self.in_background(self._index(document))

    async def _index(self, document: Document) -> None:
        await asyncio.sleep(self.indexing_delay)
        for seconds in self.writer.index(document.dataset_id, document.id):
            await asyncio.sleep(self.indexing_delay + seconds)

    def resume(self) -> None:
        """Go on with what the process before has left: documents that wait to be indexed."""
        for document in self.tables.unfinished():
            self.index(document)

    def stop(self, task_id: str, end_user: EndUser, *, same_user_only: bool) -> None:
        """Stop a generation; an unknown one, or somebody else's, goes on without a word.

        Args:
            task_id: Which.
            end_user: Who asks.
            same_user_only: Whether only the person who asked the question may stop the answer.
        """
        self.journal.add_stop(task_id)
        generation = self.generations.get(task_id) or self._paused_generation(task_id)
        if generation and (generation.end_user == end_user or not same_user_only):
            generation.stopped.set()

    def images(self, files: list[JsonObject]) -> list[str]:
        """Return the URLs of the images among some files, if there is a model to look at them."""
        return self.uploads.images(files) if self.responder.upstream else []

    def _paused_generation(self, task_id: str) -> Generation | None:
        # A paused run stays so when it is stopped, and ends once its form is filled in.
        waiting = (run.generation for run in self.runs.values())
        return next((generation for generation in waiting if generation.task_id == task_id), None)

    def in_background(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run something that no request waits for."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self) -> None:
        """End what still runs and close the databases."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.responder.close()
        self.store.close()

    def forget(self) -> None:
        """Forget all conversations, messages, files, runs and annotations, and stop what runs."""
        for task in list(self.tasks):
            task.cancel()
        for generation in self.generations.values():
            generation.stopped.set()
        self.runs.clear()
        self.forms.clear()
        self.store.clear()
        self._forget_written()
        self.resume()

    def _forget_written(self) -> None:
        """Forget the knowledge bases and documents that were written over the API."""
        for dataset in self.tables.datasets():
            if dataset.id not in {self.knowledge.id, PIPELINE_DATASET_ID}:
                self.tables.delete_dataset(dataset.id)
                continue
            for document in self.tables.documents(dataset.id):
                if document.name not in dataset.file_digests:
                    self.tables.delete_document(document)
