"""Have facts read out of a text, as instances of a class.

Runs offline against a local app that fills in schemas, or with DIFY_BASE_URL and DIFY_API_KEY
against yours (a chat app whose model follows instructions):

    python langchain_structured_output.py "Mars has 2 moons."
"""

from __future__ import annotations

import sys
from typing import Literal

from pydantic import BaseModel, Field

from dify_local import app_from_environment
from langchain_dify import ChatDify

TEXTS = [
    "Saturn has 274 moons and is a gas giant.",
    "Mars, a rocky planet, has 2 moons.",
]


class Planet(BaseModel):
    """A planet of the solar system."""

    name: str
    moons: int = Field(description="how many moons are confirmed")
    kind: Literal["rocky", "gas giant", "ice giant"]


def main() -> None:
    reader = ChatDify(user="example").with_structured_output(Planet)
    for text in sys.argv[1:] or TEXTS:
        print(text)
        print(f"  -> {reader.invoke(text)!r}")


if __name__ == "__main__":
    with app_from_environment("planner"):
        main()
