"""Answers that people have written down for certain questions."""

from __future__ import annotations

from dify_local.apps import App
from dify_local.service import Service
from dify_local.steps import Reply, play
from dify_local.store import body, dump
from dify_local.wire import stable_id

_ACCOUNT = {"id": stable_id("account"), "name": "Dify Local"}


def annotated_reply(service: Service, app: App, query: str) -> Reply | None:
    """Return the reply from an annotation whose question is the query, or None.

    Such a reply comes letter by letter, as on real servers.
    """
    if app.id not in service.annotated_apps:
        return None
    asked = query.strip().lower()
    for row in service.store.rows("SELECT * FROM annotations WHERE app_id = ?", app.id):
        annotation = body(row)
        if annotation["question"].strip().lower() == asked:
            annotation["hit_count"] += 1
            service.store.execute(
                "UPDATE annotations SET body = ? WHERE id = ?", dump(annotation), annotation["id"]
            )
            found = {"id": annotation["id"], "account": _ACCOUNT}
            return Reply(play(list(annotation["answer"])), annotation=found)
    return None
