"""What Dify's protocol fixes wherever it is spoken: JSON and ids, refusals, events, releases."""
