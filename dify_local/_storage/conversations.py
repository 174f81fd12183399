"""Conversations and their messages, on top of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dify_local._protocol.values import NIL_UUID, JsonObject, new_id, now
from dify_local._storage.store import EndUser, Store, body, dump

if TYPE_CHECKING:
    import sqlite3

_NAME_LENGTH = 20


@dataclass(frozen=True)
class Turn:
    """One earlier question and its answer."""

    query: str
    answer: str


@dataclass
class Conversations:
    """The conversations of every app."""

    store: Store

    def start(
        self, app_id: str, end_user: EndUser, query: str, inputs: JsonObject, opening: str
    ) -> str:
        """Begin a conversation and return its id."""
        conversation_id, time = new_id(), now()
        name = query if len(query) <= _NAME_LENGTH else f"{query[:_NAME_LENGTH]}…"
        record = {
            "name": name or "New conversation",
            "inputs": inputs,
            "status": "normal",
            "introduction": opening,
        }
        self.store.execute(
            "INSERT INTO conversations (id, app_id, end_user_id, created_at, updated_at, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            conversation_id, app_id, end_user.id, time, time, dump(record),
        )  # fmt: skip
        return conversation_id

    def find(self, app_id: str, end_user: EndUser, conversation_id: str) -> JsonObject | None:
        """Return a conversation of this person, as `/conversations` lists it."""
        row = self.store.row(
            "SELECT * FROM conversations WHERE id = ? AND app_id = ? AND end_user_id = ?",
            conversation_id, app_id, end_user.id,
        )  # fmt: skip
        return conversation_object(row) if row else None

    def page(
        self, app_id: str, end_user: EndUser, *, last_id: str | None, limit: int, sort_by: str
    ) -> tuple[list[JsonObject], bool]:
        """Return a page of conversations and whether more follow.

        Raises:
            KeyError: `last_id` is no conversation of this person.
        """
        column = sort_by.lstrip("-")
        direction = "DESC" if sort_by.startswith("-") else "ASC"
        rows = self.store.rows(
            "SELECT * FROM conversations WHERE app_id = ? AND end_user_id = ? "  # noqa: S608
            f"ORDER BY {column} {direction}, sequence {direction}",
            app_id, end_user.id,
        )  # fmt: skip
        if last_id:
            ids = [row["id"] for row in rows]
            if last_id not in ids:
                raise KeyError(last_id)
            rows = rows[ids.index(last_id) + 1 :]
        return [conversation_object(row) for row in rows[:limit]], len(rows) > limit

    def rename(self, conversation_id: str, name: str) -> None:
        """Give a conversation another name."""
        self.store.execute(
            "UPDATE conversations SET body = json_set(body, '$.name', ?), updated_at = ? "
            "WHERE id = ?",
            name, now(), conversation_id,
        )  # fmt: skip

    def delete(self, conversation_id: str) -> None:
        """Forget a conversation with everything in it."""
        self.store.execute("DELETE FROM conversations WHERE id = ?", conversation_id)
        self.store.execute("DELETE FROM messages WHERE conversation_id = ?", conversation_id)
        self.store.execute("DELETE FROM variables WHERE conversation_id = ?", conversation_id)

    def history(self, conversation_id: str) -> list[Turn]:
        """Return the turns of a conversation, oldest first."""
        rows = self.store.rows(
            "SELECT body FROM messages WHERE conversation_id = ? ORDER BY sequence", conversation_id
        )
        return [Turn(message["query"], message["answer"]) for message in map(body, rows)]

    def save_message(
        self, app_id: str, end_user: EndUser, conversation_id: str, message: JsonObject
    ) -> None:
        """Add a message to its conversation, or overwrite it."""
        self.store.execute(
            "INSERT INTO messages (id, app_id, end_user_id, conversation_id, body) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            message["id"], app_id, end_user.id, conversation_id, dump(message),
        )  # fmt: skip
        self.store.execute(
            "UPDATE conversations SET updated_at = ? WHERE id = ?", now(), conversation_id
        )

    def messages(self, conversation_id: str) -> list[JsonObject]:
        """Return every message of a conversation, oldest first."""
        rows = self.store.rows(
            "SELECT body FROM messages WHERE conversation_id = ? ORDER BY sequence", conversation_id
        )
        return [body(row) for row in rows]

    def message(self, app_id: str, end_user: EndUser | None, message_id: str) -> JsonObject | None:
        """Return one message of an app, of one person if one is given."""
        row = self.store.row(
            "SELECT body FROM messages WHERE id = ? AND app_id = ? "
            "AND end_user_id = COALESCE(?, end_user_id)",
            message_id, app_id, end_user.id if end_user else None,
        )  # fmt: skip
        return body(row) if row else None


def conversation_object(row: sqlite3.Row) -> JsonObject:
    """Return a conversation as the API shows it."""
    record = body(row)
    return {
        "id": row["id"],
        "name": record["name"],
        "inputs": record["inputs"],
        "status": record["status"],
        "introduction": record["introduction"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def message_object(
    message_id: str, conversation_id: str, query: str, inputs: JsonObject
) -> JsonObject:
    """Return a message as `/messages` shows it, before there is an answer."""
    return {
        "id": message_id,
        "conversation_id": conversation_id,
        "parent_message_id": NIL_UUID,
        "inputs": inputs,
        "query": query,
        "answer": "",
        "feedback": None,
        "retriever_resources": [],
        "created_at": now(),
        "agent_thoughts": [],
        "message_files": [],
        "message_tokens": 0,
        "answer_tokens": 0,
        "provider_response_latency": 0.0,
        "total_price": "0E-7",
        "currency": "USD",
        "status": "normal",
        "error": None,
        "extra_contents": [],
        "total_tokens": 0,
    }
