"""The endpoints of the knowledge bases, which take a dataset key.

They are imported at the first request to one: most servers get none, and they are a third of all.
"""

from __future__ import annotations

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class _KnowledgeRoutes(BaseRoute):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"].removeprefix("/v1")
        is_ours = path.startswith(("/datasets", "/workspaces/"))
        return (Match.FULL if is_ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        from dify_local._http.routes.knowledge.sections import router

        await router(scope, receive, send)


routes: list[BaseRoute] = [_KnowledgeRoutes()]
