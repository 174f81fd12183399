"""Documents switched on and off, archived and brought back."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import json_response
from dify_local._http.routes.knowledge.calls import knowledge_call
from dify_local._http.routes.knowledge.payloads import DocumentIdsPayload
from dify_local._protocol.errors import ApiError
from dify_local._protocol.values import now
from dify_local._storage.knowledge.records import Document


async def update_status(request: Request) -> Response:
    """`PATCH /datasets/{dataset_id}/documents/status/{action}`; unknown documents are left out.

    A document that was switched on or off is locked until the index has followed: for
    `indexing_delay`, which is no time by default.
    """
    call = knowledge_call(request)
    dataset = call.dataset()
    action = call.path("action")
    if action not in _ACTIONS:
        raise _invalid(f"Invalid action: {action}. Must be one of {list(_ACTIONS)}")
    payload = await call.payload(DocumentIdsPayload)
    with call.tables.store.transaction():
        for document_id in payload.document_ids:
            document = call.tables.document(dataset.id, document_id)
            if document is None:
                continue
            if document.locked_until > time.time():
                raise _invalid(f"Document:{document.name} is being indexed, please try again later")
            if _ACTIONS[action](document):
                document.locked_until = time.time() + call.service.indexing_delay
                document.updated_at = now()
                call.tables.save_document(document)
    return json_response({"result": "success"})


def _enable(document: Document) -> bool:
    if document.enabled:
        return False
    document.enabled, document.disabled_at = True, None
    return True


def _disable(document: Document) -> bool:
    if document.indexing_status != "completed":
        raise _invalid(f"Document: {document.name} is not completed.")
    if not document.enabled:
        return False
    document.enabled, document.disabled_at = False, now()
    return True


def _archive(document: Document) -> bool:
    changed = not document.archived
    document.archived = True
    return changed


def _un_archive(document: Document) -> bool:
    changed = document.archived
    document.archived = False
    return changed


def _invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_action", message)


_ACTIONS: dict[str, Callable[[Document], bool]] = {
    "enable": _enable,
    "disable": _disable,
    "archive": _archive,
    "un_archive": _un_archive,
}

routes = [
    Route(
        "/datasets/{dataset_id:uuid}/documents/status/{action}", update_status, methods=["PATCH"]
    ),
]
