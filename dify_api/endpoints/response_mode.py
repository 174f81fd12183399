"""How an app's answer is asked for."""

from typing import Literal

ResponseMode = Literal["streaming", "blocking"]
"""As it comes ("streaming"), or in one piece ("blocking"), which proxies cut when it takes long."""
