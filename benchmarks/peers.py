"""Two clients of Dify that cannot be installed side by side: both call their package `dify_client`.

Each gets a folder of its own, `.peers/NAME`, which only the process that measures it sees.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSIONS = {"dify-client-python": "1.0.3", "dify-api-client": "0.0.23"}
FOLDER = Path(__file__).parent / ".peers"


def use(name: str) -> None:
    """Put a peer on the path of this process.

    Raises:
        ImportError: If it is not installed.
    """
    folder = FOLDER / name
    if not folder.is_dir():
        raise ImportError(f"{name} is not installed: python -m benchmarks.peers")
    sys.path.insert(0, str(folder))


def install() -> None:
    """Install the peers that are missing. What they need (httpx, httpx-sse, pydantic) is here."""
    for name, version in VERSIONS.items():
        folder = FOLDER / name
        if not folder.is_dir():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            subprocess.run([*command, "--target", str(folder), f"{name}=={version}"], check=True)


if __name__ == "__main__":
    install()
