"""What the server remembers and knows: people, conversations, files, and its documents."""
