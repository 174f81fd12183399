"""From an answer's events to what LangChain shows of it: chunks, messages, blocks, traces."""
