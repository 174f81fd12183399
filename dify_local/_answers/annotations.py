"""Answers that people have written down for certain questions."""

from __future__ import annotations

from dify_local._answers.reply import Reply, play
from dify_local._protocol.values import stable_id
from dify_local._storage.store import Store, body, dump

_ACCOUNT = {"id": stable_id("account"), "name": "Dify Local"}


def annotated_reply(store: Store, app_id: str, query: str) -> Reply | None:
    """Return the reply from an annotation whose question is the query, or None.

    Such a reply comes letter by letter, as on real servers.
    """
    asked = query.strip().lower()
    for row in store.rows("SELECT * FROM annotations WHERE app_id = ?", app_id):
        annotation = body(row)
        if annotation["question"].strip().lower() == asked:
            annotation["hit_count"] += 1
            store.execute(
                "UPDATE annotations SET body = ? WHERE id = ?", dump(annotation), annotation["id"]
            )
            found = {"id": annotation["id"], "account": _ACCOUNT}
            return Reply(play(list(annotation["answer"])), annotation=found)
    return None
