"""The web application: routes, error shapes, and the headers that every Dify answer has."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dify_local._http import page
from dify_local._http.responses import on_api_error, on_crash, on_http_error, on_validation_error
from dify_local._http.routes import all_routes, application, files
from dify_local._protocol.endpoints import has_endpoint
from dify_local._protocol.errors import ApiError, DifyCrash
from dify_local._protocol.release import Release
from dify_local._runs import execution, saved_runs
from dify_local._runs.service import Service

_logger = logging.getLogger("dify_local")


def make_application(service: Service) -> Starlette:
    """Return the web application of a service; closing it closes the service."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        for run in saved_runs.interrupted(service):
            execution.go_on(service, run)
        service.resume()
        yield
        await service.close()

    app = Starlette(
        routes=[
            *page.routes,
            Route("/v1", application.index),
            Route("/files/{file_id:uuid}/file-preview", files.signed_file),
            Mount("/v1", app=Router(_routes_of(service.release), redirect_slashes=False)),
        ],
        exception_handlers={
            ApiError: on_api_error,
            ValidationError: on_validation_error,
            HTTPException: on_http_error,
            DifyCrash: on_crash,
        },
        middleware=[Middleware(CrashReports)],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def _routes_of(release: Release) -> list[BaseRoute]:
    return [
        route
        for route in all_routes()
        if not isinstance(route, Route) or has_endpoint(release, route.path, route.methods or ())
    ]


class CrashReports:
    """Answers what this server did not expect with a 500, and logs where it comes from.

    Starlette's own handling lets the exception through to uvicorn, which then cuts the connection.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, whatever happens."""
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except Exception as error:
            if scope["type"] != "http":
                raise
            _logger.exception("%s %s has crashed", scope["method"], scope["path"])
            if started:
                raise  # uvicorn cuts the connection, so that nobody takes the half for the whole
            response = await on_crash(Request(scope), error)
            await response(scope, receive, send)


class DifyHeaders:
    """Adds the headers that every answer of a Dify server has.

    Args:
        app: What answers.
        version: The release in `X-Version`.
    """

    def __init__(self, app: ASGIApp, version: str) -> None:
        self.app = app
        self.headers = [
            (b"access-control-expose-headers", b"X-Env, X-Trace-Id, X-Version"),
            (b"x-version", version.encode()),
            (b"x-env", b"PRODUCTION"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers added."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = [*self.headers, *_sharing(scope)]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _sharing(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers that let pages of any origin read an answer, and ask beforehand."""
    asked = {name: value for name, value in scope["headers"] if name in _ASKED}
    origin = asked.get(b"origin")
    if origin is None:
        return [(b"access-control-allow-origin", b"*"), (b"vary", b"Cookie")]
    headers = [(b"access-control-allow-origin", origin), (b"vary", b"Origin, Cookie")]
    if scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
        methods = b"DELETE, GET, OPTIONS, PATCH, POST, PUT"
        headers.append((b"access-control-allow-methods", methods))
        if wanted := asked.get(b"access-control-request-headers"):
            headers.append((b"access-control-allow-headers", wanted))
    return headers


_ASKED = {b"origin", b"access-control-request-method", b"access-control-request-headers"}
