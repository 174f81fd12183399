"""Files and audio."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.payloads import TextToAudioPayload
from dify_local._http.requests import form_call, json_call, query_call, service_of
from dify_local._http.responses import json_response
from dify_local._protocol.errors import ApiError, invalid_param
from dify_local._runs import speech

_MEGABYTE = 1024 * 1024
_LIMITS = {"image": 10 * _MEGABYTE, "audio": 50 * _MEGABYTE, "video": 100 * _MEGABYTE}
_DOCUMENT_LIMIT = 15 * _MEGABYTE
_AUDIO_TYPES = {
    "audio/mp3", "audio/m4a", "audio/x-m4a", "audio/wav", "audio/amr", "audio/mpga"
}  # fmt: skip
_LONGEST_AUDIO = 30 * _MEGABYTE


async def upload(request: Request) -> Response:
    """`POST /files/upload`."""
    call, file, names = await form_call(request)
    if file is None:
        raise ApiError(400, "no_file_uploaded", "Please upload your file.")
    if names > 1:
        raise ApiError(400, "too_many_files", "Only one file is allowed.")
    if not file.filename:
        raise ApiError(400, "filename_not_exists_error", "The specified filename does not exist.")
    if not file.content_type:
        raise ApiError(415, "unsupported_file_type", "File type not allowed.")
    if len(file.content) > _LIMITS.get(file.content_type.partition("/")[0], _DOCUMENT_LIMIT):
        raise ApiError(413, "file_too_large", "")
    uploads = call.service.uploads
    record = uploads.add(call.app.id, call.end_user, file.filename, file.content_type, file.content)
    return json_response(record, 201)


async def preview(request: Request) -> Response:
    """`GET /files/{file_id}/preview`: the bytes of a file that belongs to a message of this app."""
    call = await query_call(request)
    record, content, app_id, message_id = call.service.uploads.content(call.path("file_id"))
    if message_id is None:
        raise ApiError(404, "file_not_found", "File not found in message context")
    if app_id != call.app.id:
        raise ApiError(403, "file_access_denied", "File access denied: not owned by requesting app")
    headers = {"content-type": record["mime_type"], "cache-control": "public, max-age=3600"}
    if request.query_params.get("as_attachment") in {"true", "1"}:
        headers["content-type"] = "application/octet-stream"
        name = quote(record["name"])
        headers["content-disposition"] = f"attachment; filename*=UTF-8''{name}"
    return Response(content, headers=headers)


async def signed_file(request: Request) -> Response:
    """`GET /files/{file_id}/file-preview`, outside `/v1`: what signed URLs lead to."""
    uploads = service_of(request).uploads
    record, content, _, _ = uploads.content(str(request.path_params["file_id"]))
    return Response(content, headers={"content-type": record["mime_type"]})


async def audio_to_text(request: Request) -> Response:
    """`POST /audio-to-text`: the transcript tells how long the recording is."""
    call, file, _ = await form_call(request)
    if file is None:
        raise ApiError(
            400,
            "bad_request_key_error",
            "The browser (or proxy) sent a request that this server could not understand.",
        )
    if not call.app.hears:
        raise ApiError(400, "speech_to_text_disabled", "Speech to text is disabled.")
    if file.content_type not in _AUDIO_TYPES:
        raise ApiError(415, "unsupported_audio_type", "Audio type not allowed.")
    if len(file.content) > _LONGEST_AUDIO:
        raise ApiError(413, "audio_too_large", "Audio size larger than 30 mb")
    return json_response({"text": f"transcript of {len(file.content)} bytes"})


async def text_to_audio(request: Request) -> Response:
    """`POST /text-to-audio`: a message, or a text, as sound.

    Since 1.17 its type is that of the container; before, all speech is called "audio/mpeg".
    """
    call = await json_call(request, user_required=False)
    payload = call.payload(TextToAudioPayload)
    if "speech" not in call.app.features:
        raise invalid_param("TTS is not enabled")
    if payload.message_id:
        message = call.service.conversations.message(call.app.id, None, payload.message_id)
        if message is None or not message["answer"]:
            return json_response(None)
    elif payload.text is None:
        raise invalid_param("Text is required")
    told = "audio/wav" if call.service.release.since(1, 17) else "audio/mpeg"
    return Response(speech.audio(), headers={"content-type": told})


routes = [
    Route("/files/upload", upload, methods=["POST"]),
    Route("/files/{file_id:uuid}/preview", preview),
    Route("/audio-to-text", audio_to_text, methods=["POST"]),
    Route("/text-to-audio", text_to_audio, methods=["POST"]),
]
