"""How like a real server the local one answers requests to knowledge bases.

    python -m tests.dify_local.knowledge_fidelity [FOLDER]

FOLDER holds recordings of releases (`dify-RELEASE/*.yaml`); `cassettes/` when left out. Compared
are status, error code, the sequence of events, and the shape: fields and their types.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dify_local import LocalDify
from tests.dify_local.knowledge_world import World
from tests.dify_local.test_shapes import differences
from tests.support.cassettes import ROOT, Exchange

RELEASES = {
    "dify-1.12.1": "1.12.1",
    "dify-1.14.2": "1.14.2",
    "dify-1.16.0": "1.16.0",
    "dify-1.16.1": "1.16.1",
    "dify-1.16.1-main": "1.16.1",
}
"""From 1.12 on; older releases answer in other shapes, which the local server does not know."""

NOT_COMPARABLE = {
    "pipe_run_draft_failed_blocking": "a pipeline that fails is made in Dify's console only",
    "auth_app_key_on_dataset": "is about keys, not about knowledge",
}
_KNOWLEDGE = ("/datasets", "/workspaces/current/models")
_TOO_LARGE = 16 * 1024 * 1024


@dataclass
class Report:
    """What came of one release.

    Attributes:
        compared: How many exchanges.
        differing: What differs, by the name of the exchange.
    """

    compared: int = 0
    differing: dict[str, list[str]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of exchanges that are alike."""
        return 1 - len(self.differing) / self.compared if self.compared else 1.0


@contextmanager
def world_of(version: str) -> Iterator[World]:
    """A server of a release, with the knowledge bases of the recordings."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "local.db"
        with LocalDify(database=database, version=version) as server:
            world = World(server, database)
            try:
                yield world
            finally:
                world.close()


def exchanges(folder: Path) -> list[Exchange]:
    """The recorded exchanges of knowledge bases in a folder that can be compared."""
    found = [Exchange(file) for file in sorted(folder.glob("*.yaml"))]
    return [
        one
        for one in found
        if one.path.startswith(_KNOWLEDGE) and one.file.stem not in NOT_COMPARABLE
    ]


def compare(folder: Path, version: str) -> Report:
    """Send the recorded requests of a folder to a local server and compare what it answers."""
    report = Report()
    recorded = exchanges(folder)
    if not recorded:
        return report
    with world_of(version) as world:
        for exchange in recorded:
            report.compared += 1
            found = _compare_one(world, exchange)
            if found:
                report.differing[exchange.file.stem] = found
    return report


def _compare_one(world: World, exchange: Exchange) -> list[str]:
    name = exchange.file.stem
    world.restore()
    world.prepare(name, exchange.method, exchange.path, exchange.request_json, exchange.status)
    deleted_before = exchange.status == 404 and exchange.method == "DELETE"
    if deleted_before or (name.endswith("_again") and exchange.status != 400):
        _send(world, exchange)
    status, content_type, body = _send(world, exchange)
    if status != exchange.status:
        return [f"status {status} against {exchange.status}: {body[:200]!r}"]
    if content_type.partition(";")[0] != exchange.headers.get("content-type", "").partition(";")[0]:
        return [f"content type {content_type}"]
    if content_type.startswith("text/event-stream"):
        return _compare_events(_events(body), _events(exchange.body))
    if not content_type.startswith("application/json"):
        return []
    if exchange.json is None:
        return [] if not body.strip() else [f"{body!r} instead of nothing"]
    ours = json.loads(body)
    codes = [one.get("code") for one in (ours, exchange.json) if isinstance(one, dict)]
    if len(set(codes)) > 1:
        return [f"code {codes[0]} against {codes[1]}"]
    return [*differences(ours, exchange.json), *_compare_filtered(name, ours, exchange.json)]


def _compare_filtered(name: str, ours: Any, theirs: Any) -> list[str]:
    """Filters must let the same documents through."""
    if not name.startswith("retrieve_filter") or "records" not in theirs:
        return []
    shown = [
        sorted({record["segment"]["document"]["name"] for record in one["records"]})
        for one in (ours, theirs)
    ]
    return [] if shown[0] == shown[1] else [f"found {shown[0]} against {shown[1]}"]


def _send(world: World, exchange: Exchange) -> tuple[int, str, bytes]:
    recorded = exchange.recorded["request"]
    uri = urlsplit(recorded["uri"])
    target = uri.path.removeprefix("/v1") + (f"?{uri.query}" if uri.query else "")
    headers = {name: values[0] for name, values in recorded["headers"].items()}
    given = headers.get("authorization")
    headers.pop("authorization", None)
    if given and given.startswith("Bearer dataset-"):
        headers["authorization"] = f"Bearer {world.server.dataset_key}"
    elif given:
        headers["authorization"] = f"Bearer {world.server.keys['chat']}"
    body = recorded["body"] or ""
    text = body if isinstance(body, str) else body.decode("utf-8", errors="replace")
    content = world.local_body(text)
    if "too_large" in exchange.file.stem:
        # Only its beginning is in the recording.
        boundary = headers["content-type"].partition("boundary=")[2]
        content += "x" * _TOO_LARGE + f"\r\n--{boundary}--\r\n"
    request = world.client.build_request(
        exchange.method,
        f"{world.server.base_url}{world.local(target)}",
        content=content.encode(),
        headers=headers,
    )
    if not given:
        del request.headers["authorization"]
    response = world.client.send(request)
    return response.status_code, response.headers.get("content-type", ""), response.content


def _events(body: bytes) -> list[Any]:
    return [json.loads(part[6:]) for part in body.split(b"\n\n") if part.startswith(b"data: ")]


def _compare_events(ours: list[Any], theirs: list[Any]) -> list[str]:
    names = [[event["event"] for event in events] for events in (ours, theirs)]
    if names[0] != names[1]:
        return [f"events {names[0]} against {names[1]}"]
    pairs = zip(ours, theirs, strict=True)
    return [one for our, their in pairs for one in differences(our, their)]


def main() -> None:
    """Print the shares, and what differs."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    for name, version in RELEASES.items():
        report = compare(folder / name, version)
        if not report.compared:
            continue
        alike = report.compared - len(report.differing)
        print(f"{name}: {alike} of {report.compared} alike ({report.share:.1%})")
        for exchange, found in report.differing.items():
            print(f"  {exchange}: {'; '.join(found)[:300]}")


if __name__ == "__main__":
    main()
