r"""How documents become segments: the process rules of Dify.

A rule splits at its separator; what is still too long is split at paragraphs, lines, sentences and
words. The length of a text is its number of words, which stand for tokens here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dify_local._protocol.values import JsonObject

AUTOMATIC_RULES: JsonObject = {
    "pre_processing_rules": [
        {"id": "remove_extra_spaces", "enabled": True},
        {"id": "remove_urls_emails", "enabled": False},
    ],
    "segmentation": {"delimiter": "\n", "max_tokens": 500, "chunk_overlap": 50},
}
SHORTEST_SEGMENT, LONGEST_SEGMENT = 50, 4000

_PARAGRAPHS_TO_WORDS = ("\n\n", "\n", "。", ". ", " ")
_URL = re.compile(r"https?://\S+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")


def count_tokens(text: str) -> int:
    """Return the number of words of a text."""
    return len(text.split())


def check_rule(rule: JsonObject) -> str | None:
    """Return what is wrong with the rule of a document, in Dify's words."""
    if rule["mode"] == "automatic":
        return None
    length = rule["rules"]["segmentation"]["max_tokens"]
    if SHORTEST_SEGMENT <= length <= LONGEST_SEGMENT:
        return None
    return f"Custom segment length should be between {SHORTEST_SEGMENT} and {LONGEST_SEGMENT}."


def split(text: str, rule: JsonObject) -> list[str]:
    r"""Return the segments of a text.

    Example:
        >>> split("One fact.\n\nAnother fact.", {"mode": "automatic", "rules": AUTOMATIC_RULES})
        ['One fact.\n\nAnother fact.']
    """
    rules = rule["rules"]
    text = _clean(text, rules)
    if rules.get("parent_mode") == "full-doc":
        return [text] if text.strip() else []
    segmentation = rules["segmentation"]
    whole = (text,) if rule["mode"] == "automatic" else None
    return _pieces(text, segmentation, whole)


def split_child_chunks(text: str, rule: JsonObject) -> list[str]:
    """Return the child chunks of a segment, or nothing where the rule makes none."""
    segmentation = rule["rules"].get("subchunk_segmentation")
    return _pieces(text, segmentation, None) if segmentation else []


def split_questions(text: str) -> list[tuple[str, str]]:
    """Return a question and its answer for each sentence; no model writes here."""
    sentences = [part.strip() for part in re.split(r"(?<=[.!?])\s+", text) if part.strip()]
    return [(f"What is said about {' '.join(part.split()[:3])}?", part) for part in sentences]


def _clean(text: str, rules: JsonObject) -> str:
    enabled = {
        rule["id"] for rule in rules.get("pre_processing_rules") or [] if rule.get("enabled")
    }
    if "remove_extra_spaces" in enabled:
        text = re.sub(r"\n{3,}", "\n\n", text)
        text = re.sub(r"[^\S\n\u2028\u2029]{2,}", " ", text)
    if "remove_urls_emails" in enabled:
        text = _URL.sub("", _EMAIL.sub("", text))
    return text


def _pieces(text: str, segmentation: JsonObject, whole: tuple[str, ...] | None) -> list[str]:
    separator = str(segmentation.get("separator") or segmentation.get("delimiter") or "\n")
    longest = int(segmentation["max_tokens"])
    parts = whole or text.split(separator.replace("\\n", "\n"))
    pieces = [piece for part in parts for piece in _no_longer(part, longest, _PARAGRAPHS_TO_WORDS)]
    return [piece.strip() for piece in pieces if piece.strip()]


def _no_longer(text: str, longest: int, separators: Sequence[str]) -> Iterator[str]:
    if count_tokens(text) <= longest or not separators:
        yield text
        return
    separator, *finer = separators
    gathered = ""
    for part in text.split(separator):
        together = f"{gathered}{separator}{part}" if gathered else part
        if count_tokens(together) <= longest:
            gathered = together
            continue
        if gathered:
            yield gathered
        *complete, gathered = _no_longer(part, longest, finer)
        yield from complete
    if gathered:
        yield gathered
