"""End users: who stands behind a `user`."""

from __future__ import annotations

from dify_api.models import Model, Timestamp
from dify_api.operation import Operation, path, require_uuid


class EndUser(Model):
    """An end user of an app."""

    id: str = ""
    tenant_id: str | None = None
    app_id: str | None = None
    type: str | None = None
    """service-api, browser, ..."""
    external_user_id: str | None = None
    name: str | None = None
    is_anonymous: bool | None = None
    session_id: str | None = None
    """The `user` of the requests."""
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None


def get(end_user_id: str) -> Operation[EndUser]:
    """Look up an end user (`GET /end-users/{end_user_id}`; servers since 1.13.0).

    Args:
        end_user_id: Such as `created_by` of an uploaded file; not the `user` of requests.

    Raises:
        ValueError: If it is no UUID.
    """
    require_uuid(end_user_id, "end_user_id")
    return Operation("GET", path("/end-users/{}", end_user_id), EndUser, repeatable=True)
