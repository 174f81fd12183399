"""Drives a directory of recordings against a local server of the same release."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dify_local import LocalDify
from tests.fidelity.asking import ask
from tests.fidelity.compare import differences
from tests.fidelity.local import Local, local_app
from tests.fidelity.recordings import Recording, read

CASSETTES = Path(__file__).parents[2] / "cassettes"
PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"
_BEGIN = "<!-- written by `python -m tests.fidelity` -->\n"
_END = "<!-- end -->"


@dataclass
class Result:
    """How one recording came out: not comparable, alike, or with differences."""

    release: str
    name: str
    left_out: str = ""
    differences: list[str] = field(default_factory=list)


def measure(directory: Path) -> list[Result]:
    """Ask again what was asked in a directory of recordings, of a server of that release."""
    recordings = list(read(directory))
    if not recordings:
        return []
    with LocalDify(version=recordings[0].release, ping_interval=60) as server:
        local = Local(server)
        results = [_result(local, recording) for recording in recordings]
        local.close()
    return results


def _result(local: Local, recording: Recording) -> Result:
    result = Result(recording.release, recording.name, left_out(recording))
    if not result.left_out:
        try:
            answer = ask(local, recording)
        except (httpx.HTTPError, LookupError, StopIteration, ValueError) as error:
            # What was to be there could not be made: a difference as well.
            result.differences = [f"{type(error).__name__}: {error}"]
            return result
        result.differences = differences(recording, answer.status, answer.content_type, answer.body)
    return result


def left_out(recording: Recording) -> str:
    """Why a recording says nothing about this server, or nothing at all."""
    if recording.path.startswith("/datasets") or recording.key.startswith("dataset-"):
        return "a knowledge base: has tests of its own"
    if recording.key and not local_app(recording.app) and recording.status != 401:
        return "an app that was gone"
    for why, apps, names in _SETTINGS:
        if re.search(apps, recording.app) or re.search(names, recording.name):
            return why
    if recording.content.startswith(b"(multipart"):
        return "a body that was not recorded"
    if recording.streamed and not _ended(recording):
        return "left or broken off before its end"
    return ""


_NOTHING = "^$ "
# Why, and patterns for the names of apps and of recordings.
_SETTINGS = (
    ("an app's limit of concurrent requests", "limited", "^limited_"),
    (
        "a setting that the local app does not have",
        "disabled-api|unpublished|email|agent-full",
        "_disabled$|_off$|_draft$|file_when_disabled|^suggested_|chat_inputs_unknown",
    ),
    (
        "a form or a graph of the app's own",
        "human2|two|par$|parallel|human-file|tail|echo|ifelse|chatflow-inputs",
        "bad_select|select_number|missing_field|missing_inputs|unwired|_iteration_|parallel_fail"
        "|workflow_long|bad_number|list_bad|chatflow_missing_input|wrong_type",
    ),
    (
        "a server with parts missing, or too slow",
        _NOTHING,
        "daemon|_killed|server_kill|no_worker|workerdead|noprovider|fail_other|tts_fail|global_"
        "|^idle|_idle_",
    ),
    ("a body that was not recorded", _NOTHING, "_big|too_large"),
)
_LAST = {"message_end", "error", "workflow_finished", "workflow_paused", "tts_message_end"}


def _ended(recording: Recording) -> bool:
    names = [event["event"] for event in recording.events]
    stays_open = dict(recording.query).get("continue_on_pause") == "true"
    if stays_open and (
        names[-1] == "workflow_paused"
        or dict(recording.query).get("include_state_snapshot") != "true"
    ):
        return False
    return bool(set(names) & _LAST)


def page(tables: str) -> str:
    """The page of the documentation with its tables."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{tables}\n{_END}{after}"


def share(results: list[Result]) -> float:
    """The part of the comparable recordings that was answered alike, from 0 to 1."""
    compared = [result for result in results if not result.left_out]
    alike = [result for result in compared if not result.differences]
    return len(alike) / len(compared)


def table(results: list[Result]) -> str:
    """A Markdown table: by release, how many recordings are comparable, and how many alike."""
    lines = ["| release | recordings | comparable | alike | share |", "|---|---|---|---|---|"]
    for release in sorted({r.release for r in results}, key=_numbers):
        of = [r for r in results if r.release == release]
        compared = [r for r in of if not r.left_out]
        alike = [r for r in compared if not r.differences]
        if compared:
            counts = f"{len(of)} | {len(compared)} | {len(alike)}"
            lines.append(f"| {release} | {counts} | {100 * share(of):.1f} % |")
    reasons = Counter(r.left_out for r in results if r.left_out)
    lines += ["", "| not comparable because of | recordings |", "|---|---|"]
    lines += [f"| {reason} | {count} |" for reason, count in reasons.most_common()]
    return "\n".join(lines)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
