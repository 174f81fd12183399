"""What a server remembers, in SQLite: people, conversations, messages, files, annotations, runs.

Each table keeps the columns that requests search by, and the rest of a record as JSON. All calls
come from the thread of the server's event loop.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dify_local._protocol.values import JsonObject, new_id, now

_SCHEMA = """
CREATE TABLE IF NOT EXISTS end_users (
    id TEXT PRIMARY KEY, app_id TEXT NOT NULL, session_id TEXT NOT NULL,
    created_at INTEGER NOT NULL, UNIQUE (app_id, session_id));
CREATE TABLE IF NOT EXISTS conversations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, app_id TEXT NOT NULL,
    end_user_id TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, app_id TEXT NOT NULL,
    end_user_id TEXT NOT NULL, conversation_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS messages_by_conversation ON messages (conversation_id, sequence);
CREATE TABLE IF NOT EXISTS feedbacks (
    message_id TEXT NOT NULL, end_user_id TEXT NOT NULL, app_id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (message_id, end_user_id));
CREATE TABLE IF NOT EXISTS variables (
    id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, app_id TEXT NOT NULL, end_user_id TEXT NOT NULL, message_id TEXT,
    content BLOB NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS annotations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, app_id TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, app_id TEXT NOT NULL,
    end_user_id TEXT NOT NULL, status TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS paused_runs (
    run_id TEXT PRIMARY KEY, status TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS paused_forms (form_token TEXT PRIMARY KEY, run_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS annotation_replies (
    app_id TEXT PRIMARY KEY, enabled INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS annotation_jobs (
    id TEXT PRIMARY KEY, app_id TEXT NOT NULL, action TEXT NOT NULL);
"""

# Runs that were going on when the last server ended, and have no form to go on from.
_INTERRUPTED = """
UPDATE runs SET status = 'failed', body = json_set(
    body, '$.status', 'failed', '$.error', 'The server ended while this ran.',
    '$.finished_at', CAST(strftime('%s', 'now') AS INTEGER))
WHERE status = 'running'
    AND NOT EXISTS (SELECT 1 FROM paused_runs WHERE run_id = runs.id AND status = 'running')
"""

_OF_PEOPLE = (
    "end_users",
    "conversations",
    "messages",
    "feedbacks",
    "variables",
    "annotations",
    "annotation_replies",
    "annotation_jobs",
    "runs",
    "paused_runs",
    "paused_forms",
)


@dataclass(frozen=True)
class EndUser:
    """A person as one app knows them; the same `user` in two apps is two people."""

    id: str
    app_id: str
    session_id: str
    created_at: int

    def created_by(self) -> JsonObject:
        """Return the `created_by` of a workflow run."""
        return {"id": self.id, "user": self.session_id}


class Store:
    """The database of a server.

    Args:
        database: A file, or `:memory:`.
    """

    def __init__(self, database: str) -> None:
        self._connection = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.executescript(_SCHEMA)
        self._connection.execute(_INTERRUPTED)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def run_script(self, sql: str) -> None:
        """Run several statements, such as those that make tables."""
        self._connection.executescript(sql)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that the block writes, or none of it; blocks may be nested."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def clear(self) -> None:
        """Forget the people and all they have said and made."""
        self.execute("DELETE FROM files WHERE end_user_id IN (SELECT id FROM end_users)")
        for table in _OF_PEOPLE:
            self.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, parameters)

    def rows(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, *parameters: object) -> sqlite3.Row | None:
        """Return the first row of a query."""
        row: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def end_user(self, app_id: str, session_id: str) -> EndUser:
        """Return the person that an app knows under a name, met now if not before."""
        self.execute(
            "INSERT OR IGNORE INTO end_users VALUES (?, ?, ?, ?)",
            new_id(),
            app_id,
            session_id,
            now(),
        )
        row = self.row(
            "SELECT * FROM end_users WHERE app_id = ? AND session_id = ?", app_id, session_id
        )
        return EndUser(*row) if row else EndUser(new_id(), app_id, session_id, now())

    def end_user_by_id(self, app_id: str, end_user_id: str) -> EndUser | None:
        """Return a person by id."""
        row = self.row("SELECT * FROM end_users WHERE app_id = ? AND id = ?", app_id, end_user_id)
        return EndUser(*row) if row else None


def body(row: sqlite3.Row) -> JsonObject:
    """Return the JSON part of a row."""
    value: Any = json.loads(row["body"])
    assert isinstance(value, dict)  # noqa: S101 - only objects are written
    return value


def dump(value: JsonObject) -> str:
    """Return a JSON part as it is stored."""
    return json.dumps(value, ensure_ascii=False)
