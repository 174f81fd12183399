"""Token usage and prices, counted simply: one word is one token."""

from __future__ import annotations

from decimal import Decimal

from dify_local._protocol.values import JsonObject

PROMPT_UNIT_PRICE = Decimal("0.15")
COMPLETION_UNIT_PRICE = Decimal("0.60")
PRICE_UNIT = Decimal("0.000001")
_PRECISION = Decimal("0.0000001")


def count_tokens(text: str) -> int:
    """Return the number of words in a text."""
    return len(text.split())


def usage(
    prompt_tokens: int, completion_tokens: int, *, latency: float, timed: bool = True
) -> JsonObject:
    """Return Dify's usage object.

    Args:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        latency: Seconds from request to end.
        timed: Whether the time to the first token is known.

    Returns:
        Counts as integers, prices as decimal strings (a zero price reads `0E-7`), times in seconds.
    """
    prompt_price = _price(prompt_tokens, PROMPT_UNIT_PRICE)
    completion_price = _price(completion_tokens, COMPLETION_UNIT_PRICE)
    return {
        "prompt_tokens": prompt_tokens,
        "prompt_unit_price": str(PROMPT_UNIT_PRICE),
        "prompt_price_unit": f"{PRICE_UNIT:f}",
        "prompt_price": str(prompt_price),
        "completion_tokens": completion_tokens,
        "completion_unit_price": str(COMPLETION_UNIT_PRICE),
        "completion_price_unit": f"{PRICE_UNIT:f}",
        "completion_price": str(completion_price),
        "total_tokens": prompt_tokens + completion_tokens,
        "total_price": str(prompt_price + completion_price),
        "currency": "USD",
        "latency": latency,
        "time_to_first_token": 0.001 if timed else None,
        "time_to_generate": max(0.0, round(latency - 0.001, 6)) if timed else None,
    }


def no_usage() -> JsonObject:
    """Return the usage of something that called no model."""
    numbers = dict.fromkeys(
        (
            "prompt_unit_price",
            "prompt_price_unit",
            "prompt_price",
            "completion_unit_price",
            "completion_price_unit",
            "completion_price",
            "total_price",
        ),
        "0.0",
    )
    return {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        **numbers,
        "currency": "USD",
        "latency": 0.0,
        "time_to_first_token": None,
        "time_to_generate": None,
    }


def _price(tokens: int, unit_price: Decimal) -> Decimal:
    return (tokens * unit_price * PRICE_UNIT).quantize(_PRECISION)
