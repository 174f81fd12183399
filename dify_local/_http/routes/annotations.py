"""Annotations: fixed answers to fixed questions."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._answers.annotations import enable_annotation_reply
from dify_local._http.payloads import (
    AnnotationCreatePayload,
    AnnotationListQuery,
    AnnotationReplyActionPayload,
)
from dify_local._http.requests import Call, app_call, app_of, json_body
from dify_local._http.responses import json_response
from dify_local._protocol.errors import DifyCrash, invalid_param, not_found
from dify_local._protocol.values import JsonObject, new_id, now
from dify_local._storage.store import body, dump


async def list_annotations(request: Request) -> Response:
    """`GET /apps/annotations`: newest first."""
    call = app_call(request)
    query = call.query(AnnotationListQuery)
    rows = call.service.store.rows(
        "SELECT body FROM annotations WHERE app_id = ? ORDER BY sequence DESC", call.app.id
    )
    found = [
        annotation
        for annotation in map(body, rows)
        if query.keyword.lower() in f"{annotation['question']} {annotation['answer']}".lower()
    ]
    start = (query.page - 1) * query.limit
    page = found[start : start + query.limit]
    return json_response(
        {
            "data": page,
            "has_more": len(found) > start + query.limit,
            "limit": query.limit,
            "total": len(found),
            "page": query.page,
        }
    )


async def create_annotation(request: Request) -> Response:
    """`POST /apps/annotations`."""
    call = app_call(request)
    payload = AnnotationCreatePayload.model_validate(await json_body(request))
    annotation = {
        "id": new_id(),
        "question": payload.question,
        "answer": payload.answer,
        "hit_count": 0,
        "created_at": now(),
    }
    call.service.store.execute(
        "INSERT INTO annotations (id, app_id, body) VALUES (?, ?, ?)",
        annotation["id"],
        call.app.id,
        dump(annotation),
    )
    return json_response(annotation, 201 if call.service.release.since(1, 8) else 200)


def _annotation(call: Call) -> JsonObject:
    row = call.service.store.row(
        "SELECT body FROM annotations WHERE id = ? AND app_id = ?",
        call.path("annotation_id"),
        call.app.id,
    )
    if row is None:
        raise not_found("Annotation not found")
    return body(row)


async def update_annotation(request: Request) -> Response:
    """`PUT /apps/annotations/{annotation_id}`."""
    call = app_call(request)
    payload = AnnotationCreatePayload.model_validate(await json_body(request))
    annotation = {**_annotation(call), "question": payload.question, "answer": payload.answer}
    call.service.store.execute(
        "UPDATE annotations SET body = ? WHERE id = ?", dump(annotation), annotation["id"]
    )
    return json_response(annotation)


async def delete_annotation(request: Request) -> Response:
    """`DELETE /apps/annotations/{annotation_id}`."""
    call = app_call(request)
    annotation = _annotation(call)
    call.service.store.execute("DELETE FROM annotations WHERE id = ?", annotation["id"])
    return Response(status_code=204)


async def annotation_reply(request: Request) -> Response:
    """`POST /apps/annotation-reply/{action}`; the job is done when its status is asked for.

    Raises:
        DifyCrash: Another action than `enable` or `disable`.
    """
    app = app_of(request)
    payload = AnnotationReplyActionPayload.model_validate(await json_body(request))
    call = app_call(request)
    action = call.path("action")
    if action not in {"enable", "disable"}:
        raise DifyCrash("Neither enable nor disable")
    store, job_id = call.service.store, new_id()
    enable_annotation_reply(store, app.id, payload.model_dump(), enabled=action == "enable")
    store.execute("INSERT INTO annotation_jobs VALUES (?, ?, ?)", job_id, app.id, action)
    return json_response({"job_id": job_id, "job_status": "waiting"})


async def annotation_reply_status(request: Request) -> Response:
    """`GET /apps/annotation-reply/{action}/status/{job_id}`."""
    call = app_call(request)
    job_id = call.path("job_id")
    job = call.service.store.row(
        "SELECT * FROM annotation_jobs WHERE id = ? AND app_id = ? AND action = ?",
        job_id, call.app.id, call.path("action"),
    )  # fmt: skip
    if job is None:
        raise invalid_param("The job does not exist.")
    return json_response({"job_id": job_id, "job_status": "completed", "error_msg": ""})


routes = [
    Route("/apps/annotations", list_annotations, methods=["GET"]),
    Route("/apps/annotations", create_annotation, methods=["POST"]),
    Route("/apps/annotations/{annotation_id:uuid}", update_annotation, methods=["PUT"]),
    Route("/apps/annotations/{annotation_id:uuid}", delete_annotation, methods=["DELETE"]),
    Route("/apps/annotation-reply/{action}", annotation_reply, methods=["POST"]),
    Route("/apps/annotation-reply/{action}/status/{job_id:uuid}", annotation_reply_status),
]
