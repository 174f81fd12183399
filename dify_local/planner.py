"""A scripted policy that calls tools described in a prompt, for agent demonstrations without a model."""

from __future__ import annotations


def plan(prompt: str) -> str:
    """Return the next thing an agent should say.

    Args:
        prompt: The whole prompt.
    """
    return prompt
