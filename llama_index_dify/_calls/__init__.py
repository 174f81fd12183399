"""What LlamaIndex asks, in Dify's words: messages and filters."""
