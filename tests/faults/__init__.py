"""The fault matrix: what each fault of a server comes to, through each class, on real sockets.

`callers` are the columns, `faults` and `leaving` the rows, `server` the socket; `matrix`
runs cases.
`python -m tests.faults` runs them all and writes the tables of docs/reliability.md.
"""
