"""What a token costs: ours, the frameworks' own floor and the peers, measured side by side.

`python -m benchmarks` runs everything; see `README.md` for what is measured and how.
"""
