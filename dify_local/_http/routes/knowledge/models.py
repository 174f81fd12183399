"""The models of the workspace."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dify_local._http.responses import json_response
from dify_local._http.routes.knowledge.calls import knowledge_call
from dify_local._protocol.errors import invalid_param
from dify_local._protocol.values import JsonObject
from dify_local._storage.files import TENANT_ID
from dify_local._storage.knowledge.records import (
    EMBEDDING_MODEL,
    EMBEDDING_PROVIDER,
    RERANKING_MODEL,
    RERANKING_PROVIDER,
)

_MODELS: dict[str, tuple[str, str, list[str], JsonObject]] = {
    "llm": (
        EMBEDDING_PROVIDER,
        "gpt-4o-mini",
        ["vision", "tool-call", "stream-tool-call", "multi-tool-call", "document", "agent-thought"],
        {"mode": "chat", "context_size": 128000},
    ),
    "text-embedding": (
        EMBEDDING_PROVIDER,
        EMBEDDING_MODEL,
        [],
        {"context_size": 8191, "max_chunks": 32},
    ),
    "rerank": (RERANKING_PROVIDER, RERANKING_MODEL, [], {"context_size": 4096}),
    "speech2text": (
        EMBEDDING_PROVIDER,
        "whisper-1",
        [],
        {
            "file_upload_limit": 25,
            "supported_file_extensions": "flac,mp3,mp4,mpeg,mpga,m4a,ogg,wav,webm",
        },
    ),
    "tts": (
        EMBEDDING_PROVIDER,
        "tts-1",
        [],
        {
            "default_voice": "alloy",
            "voices": [{"mode": "alloy", "name": "Alloy", "language": ["en-US", "zh-Hans"]}],
            "word_limit": 3500,
            "audio_type": "mp3",
            "max_workers": 2,
        },
    ),
}
_PROVIDERS = {EMBEDDING_PROVIDER: "OpenAI", RERANKING_PROVIDER: "Cohere"}


async def list_models(request: Request) -> Response:
    """`GET /workspaces/current/models/model-types/{model_type}`."""
    call = knowledge_call(request)
    model_type = call.path("model_type")
    if model_type == "moderation":
        return json_response({"data": []})
    if model_type not in _MODELS:
        raise invalid_param(f"'{model_type}' is not a valid ModelType")
    provider, model, features, properties = _MODELS[model_type]
    icon = (
        f"{call.service.uploads.address}/console/api/workspaces/{TENANT_ID}"
        f"/model-providers/{provider}/icon_small"
    )
    shown = {
        "model": model,
        "label": _both(model),
        "model_type": model_type,
        "features": features,
        "fetch_from": "predefined-model",
        "model_properties": properties,
        "deprecated": False,
        "status": "active",
        "load_balancing_enabled": False,
        "has_invalid_load_balancing_configs": False,
    }
    data = {
        "tenant_id": TENANT_ID,
        "provider": provider,
        "label": _both(_PROVIDERS[provider]),
        "icon_small": {language: f"{icon}/{language}" for language in ("zh_Hans", "en_US")},
        "icon_small_dark": None,
        "status": "active",
        "models": [shown],
    }
    return json_response({"data": [data]})


def _both(text: str) -> JsonObject:
    return {"zh_Hans": text, "en_US": text}


routes = [Route("/workspaces/current/models/model-types/{model_type}", list_models)]
