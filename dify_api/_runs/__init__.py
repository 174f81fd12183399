"""What is asked of a server for one answer, call after call: pure, without I/O."""
