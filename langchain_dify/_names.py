"""What Dify and its apps are called in LangChain, and the values of settings."""

from typing import Literal

MODEL_PROVIDER = "dify"
MODEL_NAME = "dify"
"""Of apps that are not named. Never the model behind the app: agents match model names to know
what a model can do."""

HumanInput = Literal["error", "interrupt"]
"""What becomes of an app that waits for a human: `WorkflowPausedError`, or LangGraph's interrupt
where a graph with a checkpointer is running."""
