"""How alike `dify_local` and real servers are: recorded requests, asked again, and the share that
is answered with the same status, code, events, fields and types.

`python -m tests.fidelity [DIRECTORY]` prints the table for the cassettes, or for a directory of
recordings that is laid out like them.
"""
