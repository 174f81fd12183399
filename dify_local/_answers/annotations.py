"""Answers that people have written down for certain questions."""

from __future__ import annotations

from dify_local._answers.reply import Reply, play
from dify_local._protocol.values import JsonObject, stable_id
from dify_local._storage.store import Store, body, dump

_ACCOUNT = {"id": stable_id("account"), "name": "Dify Local"}


def enable_annotation_reply(
    store: Store, app_id: str, settings: JsonObject, *, enabled: bool
) -> None:
    """Switch on or off whether an app answers by annotation.

    Args:
        store: Where it is kept.
        app_id: The app.
        settings: `score_threshold`, `embedding_provider_name` and `embedding_model_name`.
        enabled: On or off.
    """
    model = {key: settings[key] for key in ("embedding_provider_name", "embedding_model_name")}
    body = {
        "id": stable_id("annotation_reply", app_id),
        "enabled": True,
        "score_threshold": settings["score_threshold"],
        "embedding_model": model,
    }
    store.execute(
        "INSERT OR REPLACE INTO annotation_replies VALUES (?, ?, ?)", app_id, enabled, dump(body)
    )


def annotation_reply(store: Store, app_id: str) -> JsonObject:
    """Return whether and how an app answers by annotation, as `/parameters` shows it."""
    row = store.row("SELECT * FROM annotation_replies WHERE app_id = ? AND enabled", app_id)
    return body(row) if row else {"enabled": False}


def annotated_reply(store: Store, app_id: str, query: str) -> Reply | None:
    """Return the reply from an annotation whose question is the query, or None.

    None, too, where the app does not answer by annotation.

    Such a reply comes letter by letter, as on real servers.
    """
    if not annotation_reply(store, app_id)["enabled"]:
        return None
    asked = query.strip().lower()
    for row in store.rows("SELECT * FROM annotations WHERE app_id = ?", app_id):
        annotation = body(row)
        if annotation["question"].strip().lower() == asked:
            annotation["hit_count"] += 1
            store.execute(
                "UPDATE annotations SET body = ? WHERE id = ?", dump(annotation), annotation["id"]
            )
            found = {"id": annotation["id"], "account": _ACCOUNT}
            return Reply(play(list(annotation["answer"])), annotation=found, preset=True)
    return None
