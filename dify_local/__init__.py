"""A Dify-compatible server in one process: for offline work, demonstrations, tests and load.

Its apps answer from documents about the solar system, or from those of any folder. For tests,
requests are recorded (`LocalDify.requests`) and go wrong on demand (`LocalDify.fault`), and a query
that begins with one of these lines is obeyed, not answered:

    /echo TEXT          streams the text back word by word
    /tokens N [SIZE]    streams N tokens of SIZE characters each (5)
    /json JSON          streams the JSON text; anything after the JSON is ignored
    /think TEXT         streams `<think>TEXT</think>` and then a short answer
    /slow SECONDS [N]   streams N tokens (0), stays silent, with pings, and then answers
    /hang [N]           streams N tokens (0) and stays silent for ever, without pings
    /fail [WHEN]        fails: at once (`now`), after three tokens (`mid`, the default), or after
                        three tokens because of the provider's rate limit (`rate`); in a workflow
                        or chatflow the run then ends failed
    /replace TEXT       streams a text that moderation then replaces by TEXT
    /files              answers with a text file
    /tts                answers and reads the answer aloud
    /pause              waits for a person (chatflow and workflow; other modes just answer)

A directive may also stand at the beginning of a later line, after a label such as `Human:`, as it
does when a client writes a transcript into the query. Then the last one counts and its argument
ends with the line.

Example:
    >>> from dify_local import LocalDify
    >>> with LocalDify() as server:
    ...     server.base_url.endswith("/v1")
    True
"""

from dify_local._environment import app_from_environment, dataset_from_environment
from dify_local._testing.journal import RecordedRequest
from dify_local.server import LocalDify

__all__ = ["LocalDify", "RecordedRequest", "app_from_environment", "dataset_from_environment"]
