"""What tests ask of the server: faults on demand, and the journal of what has arrived."""
