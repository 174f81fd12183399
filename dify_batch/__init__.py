"""Thousands of rows through a Dify app: batches that resume, and pay for no answer twice.

Example:
    >>> from dify_api import DifyClient
    >>> from dify_batch import Columns, run
    >>> run("questions.csv", DifyClient("app-..."), "answers.jsonl",
    ...     columns=Columns(query="question"))
    Summary(rows=1000, done_before=0, succeeded=1000, failed=0, ...)

On the command line: `python -m dify_batch questions.csv answers.jsonl --query-column question`.
"""

from dify_batch._run import arun, run
from dify_batch.options import Columns, Limits
from dify_batch.results import Attempt, Failure, Result, read_results
from dify_batch.summary import Summary

__all__ = [
    "Attempt",
    "Columns",
    "Failure",
    "Limits",
    "Result",
    "Summary",
    "arun",
    "read_results",
    "run",
]
