"""From an answer's events to LlamaIndex's responses and messages."""
