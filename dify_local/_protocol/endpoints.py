"""Which endpoints a release has: those that came later are unknown addresses."""

from __future__ import annotations

from collections.abc import Collection

from dify_local._protocol.release import Release

# By the beginning of the path, and the methods that came later than the path itself.
_SINCE: tuple[tuple[str, frozenset[str], tuple[int, ...]], ...] = (
    ("/apps/annotation", frozenset(), (1, 2)),
    ("/conversations/{conversation_id:uuid}/variables", frozenset({"PUT"}), (1, 7, 2)),
    ("/conversations/{conversation_id:uuid}/variables", frozenset(), (1, 3, 1)),
    ("/site", frozenset(), (1, 4)),
    ("/app/feedbacks", frozenset(), (1, 4)),
    ("/files/{file_id:uuid}/preview", frozenset(), (1, 7, 2)),
    ("/workflows/{workflow_id}/run", frozenset(), (1, 7, 2)),
    ("/workflow/{workflow_run_id}/events", frozenset(), (1, 13)),
    ("/form/human_input", frozenset(), (1, 13)),
    ("/end-users", frozenset(), (1, 13)),
)


def has_endpoint(release: Release, path: str, methods: Collection[str]) -> bool:
    """Tell whether a release has an endpoint.

    Args:
        release: The release that is shown.
        path: Its path with parameters in braces, without `/v1`.
        methods: Its methods.

    Example:
        >>> has_endpoint(Release("1.2.0"), "/site", {"GET"})
        False
    """
    return all(
        release.since(*since)
        for beginning, only, since in _SINCE
        if path.startswith(beginning) and (not only or only & set(methods))
    )
