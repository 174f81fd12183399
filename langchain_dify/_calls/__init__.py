"""From the messages of a call to what the app is sent: input, prompts for tools and schemas."""
