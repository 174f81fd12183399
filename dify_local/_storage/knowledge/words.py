"""The words of a text that mean something, in the form in which they are searched and compared."""

from __future__ import annotations

import re

# Chinese and Japanese are written without spaces: each character counts as a word.
_IDEOGRAM = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAM}]|[^\W_{_IDEOGRAM}]+")
_TOO_COMMON = """
    a about again also am an and any are as at be been but by can could did do does for from give
    had has have he her his how i if in into is it its just know like me my of on or our please she
    should so some tell than that the their them then there these they this those to us was we were
    what when where which who whom whose why will with would you your
"""
_STOP_WORDS = frozenset(_TOO_COMMON.split())


def words(text: str) -> list[str]:
    """Return the meaningful words of a text in lower case, without plural endings.

    Example:
        >>> words("Which moons does Jupiter have?")
        ['moon', 'jupiter']
    """
    return [_singular(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def search_terms(text: str) -> list[str]:
    """Return the words of a text, or all of them where none means anything.

    Example:
        >>> search_terms("To be or not")
        ['not']
        >>> search_terms("To be or")
        ['to', 'be', 'or']
    """
    return words(text) or _WORD.findall(text.lower())


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
