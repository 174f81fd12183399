"""Send a picture and a document along with a question.

Data is uploaded first, for the same user; an address is left for the server to fetch.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY against yours (one that
allows files):

    python langchain_files.py [PATH ...]
"""

from __future__ import annotations

import base64
import mimetypes
import sys
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from dify_local import app_from_environment
from langchain_dify import ChatDify

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def block_of(path: Path) -> dict[str, Any]:
    """A file on disk as a content block."""
    mime_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    kind = mime_type.partition("/")[0]
    return {
        "type": kind if kind in ("image", "audio", "video") else "file",
        "base64": base64.b64encode(path.read_bytes()).decode(),
        "mime_type": mime_type,
        "filename": path.name,
    }


def main() -> None:
    blocks = [block_of(Path(name)) for name in sys.argv[1:]] or [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {
            "type": "file",
            "base64": base64.b64encode(b"# Moons").decode(),
            "mime_type": "text/plain",
        },
        {"type": "image", "url": "https://example.com/saturn.png"},
    ]
    question = {"type": "text", "text": "What do you know about the moons of Saturn?"}
    answer = ChatDify(user="example").invoke([HumanMessage([question, *blocks])])
    print(f"Q: {question['text']} (with {len(blocks)} files)")
    print(f"A: {answer.text}")
    for block in answer.content_blocks:
        print(f"   {block['type']}: {len(block.get('annotations', []))} citations")


if __name__ == "__main__":
    with app_from_environment():
        main()
