"""Apps that ask a human inside of LangGraph's graphs: interrupts, and what a node has done."""
