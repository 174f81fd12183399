"""The web application: routes, error shapes, and the headers that every Dify answer has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_local._http import page
from dify_local._http.responses import on_api_error, on_crash, on_http_error, on_validation_error
from dify_local._http.routes import all_routes, application, files
from dify_local._protocol.errors import ApiError
from dify_local._runs.service import Service


def make_application(service: Service) -> Starlette:
    """Return the web application of a service; closing it closes the service."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.resume()
        yield
        await service.close()

    app = Starlette(
        routes=[
            *page.routes,
            Route("/v1", application.index),
            Route("/files/{file_id:uuid}/file-preview", files.signed_file),
            Mount("/v1", app=Router(all_routes(), redirect_slashes=False)),
        ],
        exception_handlers={
            ApiError: on_api_error,
            ValidationError: on_validation_error,
            HTTPException: on_http_error,
            Exception: on_crash,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


class DifyHeaders:
    """Adds the headers that every answer of a Dify server has.

    Args:
        app: What answers.
        version: The release in `X-Version`.
    """

    def __init__(self, app: ASGIApp, version: str) -> None:
        self.app = app
        self.headers = [
            (b"access-control-allow-origin", b"*"),
            (b"access-control-expose-headers", b"X-Env, X-Trace-Id, X-Version"),
            (b"x-version", version.encode()),
            (b"x-env", b"PRODUCTION"),
            (b"vary", b"Cookie"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers added."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self.headers]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
