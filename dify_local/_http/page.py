"""The page for a browser: `/`, one file, and the apps it offers."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dify_local._apps.ready_made import APPS
from dify_local._http.requests import service_of


async def page(request: Request) -> Response:
    """`GET /`: a page to talk to the apps."""
    content = files("dify_local._http").joinpath("page.html").read_bytes()
    return HTMLResponse(content)


async def apps(request: Request) -> Response:
    """`GET /apps`: the apps and their keys; own ones come first."""
    service = service_of(request)
    known = sorted(service.apps.values(), key=lambda app: app in APPS)
    shown = ("name", "title", "mode", "description", "key")
    return JSONResponse([{name: getattr(app, name) for name in shown} for app in known])


routes = [Route("/", page), Route("/apps", apps)]
