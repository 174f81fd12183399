"""A Dify-compatible server in one process: for offline work, demonstrations, tests and load.

Its apps answer from documents about the solar system, or from those of any folder. For tests,
requests are recorded (`LocalDify.requests`) and go wrong on demand (`LocalDify.fault`), and a query
that begins with one of these lines is obeyed, not answered:

    /echo TEXT          streams the text back word by word
    /tokens N [SIZE]    streams N tokens of SIZE characters each (5)
    /json JSON          streams the JSON text; anything after the JSON is ignored
    /think TEXT         streams `<think>TEXT</think>` and then a short answer
    /reason TEXT        thinks the text apart from the answer (chatflows since 1.16, New Agents),
                        in other apps as /think does
    /slow SECONDS [N]   streams N tokens (0), stays silent, with pings, and then answers
    /hang [N]           streams N tokens (0) and stays silent for ever, without pings
    /fail [WHEN]        fails: at once (`now`), after three tokens (`mid`, the default), or after
                        three tokens because of the provider's rate limit (`rate`); in a workflow
                        or chatflow the run then ends failed
    /replace TEXT       streams a text that moderation then replaces by TEXT
    /block TEXT         is refused by moderation, which answers with the text instead of the model
    /files              answers with a text file
    /tts                answers and reads the answer aloud
    /pause              waits for a person (chatflow and workflow); the turn of a New Agent ends
                        with a form (since 1.17); other modes just answer
    /timeout SECONDS [TEXT]  waits for a person so long, and then goes on without one
    /graph PART [N] ... has these parts in the graph of a chatflow or workflow, N (2) times each:
                        `iteration`, `loop`, `retry` (of the model), `branches`, `agent`

A directive may also stand at the beginning of a later line, after a label such as `Human:`, as it
does when a client writes a transcript into the query. Then the last one counts and its argument
ends with the line.

Knowledge bases are served whole, with a dataset key: written, indexed, filtered, retrieved from.
The apps answer from the one over the documents (`LocalDify.dataset_id`), so that what is added to
it is answered from, too. No model is asked: a search by meaning compares words. The indexing of a
document whose text begins with `/fail MESSAGE` ends with this error, and with `/slow SECONDS` it
takes so long; `LocalDify(indexing_delay=...)` slows all of them down.

Example:
    >>> from dify_local import LocalDify
    >>> with LocalDify() as server:
    ...     server.base_url.endswith("/v1")
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_local._answers.canned import CannedAnswer as CannedAnswer
    from dify_local._apps.app import App as App
    from dify_local._apps.controls import Control as Control
    from dify_local._apps.exports import load_app as load_app
    from dify_local._apps.node import Node as Node
    from dify_local._environment import app_from_environment as app_from_environment
    from dify_local._environment import dataset_from_environment as dataset_from_environment
    from dify_local._testing.journal import RecordedFile as RecordedFile
    from dify_local._testing.journal import RecordedRequest as RecordedRequest
    from dify_local.server import LocalDify as LocalDify

_MODULES = {
    "App": "dify_local._apps.app",
    "CannedAnswer": "dify_local._answers.canned",
    "Control": "dify_local._apps.controls",
    "LocalDify": "dify_local.server",
    "Node": "dify_local._apps.node",
    "RecordedFile": "dify_local._testing.journal",
    "RecordedRequest": "dify_local._testing.journal",
    "app_from_environment": "dify_local._environment",
    "dataset_from_environment": "dify_local._environment",
    "load_app": "dify_local._apps.exports",
}

__all__ = [
    "App",
    "CannedAnswer",
    "Control",
    "LocalDify",
    "Node",
    "RecordedFile",
    "RecordedRequest",
    "app_from_environment",
    "dataset_from_environment",
    "load_app",
]


# Each name is imported when it is first used: pytest reads this package for its plugin.
def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
