"""How requests get there and replies come back: pools, retries, streams, deadlines, failures."""
