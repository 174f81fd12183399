"""The words of a text that mean something, in the form in which they are searched and compared."""

from __future__ import annotations

import re
from functools import lru_cache

# Chinese and Japanese are written without spaces: each character counts as a word.
_IDEOGRAM = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_IDEOGRAM}]|[^\W_{_IDEOGRAM}]+")
_TOO_COMMON = """
    a about again also am an and any are as at be been but by can could did do does for from give
    aren couldn didn doesn don hadn hasn haven isn shouldn wasn weren won wouldn ll re ve
    had has have he her his how i if in into is it its just know like me my of on or our please s
    she should so some t tell than that the their them then there these they this those to us was we
    were what when where which who whom whose why will with would you your
"""
_STOP_WORDS = frozenset(_TOO_COMMON.split())
_IRREGULAR_FORMS = """
    be: been; become: became; begin: began begun; break: broke broken; bring: brought; build: built
    buy: bought; catch: caught; choose: chose chosen; come: came; drive: drove driven; eat: ate
    eaten; fall: fell fallen; feel: felt; find: found; fly: flew flown; get: got gotten; give: gave
    given; go: went gone; grow: grew grown; hold: held; keep: kept; know: knew known; lead: led
    leave: left; lie: lay lies; lose: lost; make: made; man: men; meet: met; pay: paid; person:
    persons; rise: rose risen; run: ran; say: said; see: saw seen; sell: sold; send: sent; show:
    shown; speak: spoke spoken; spend: spent; stand: stood; take: took taken; teach: taught; tell:
    told; think: thought; understand: understood; wear: wore worn; win: won; woman: women; write:
    wrote written
"""
_IRREGULAR = {
    form: base
    for base, forms in re.findall(r"(\w+):((?:\s+\w+(?!:)\b)+)", _IRREGULAR_FORMS)
    for form in forms.split()
}


def words(text: str) -> list[str]:
    """Return the stems of the meaningful words of a text, in lower case.

    Example:
        >>> words("Which moons does Jupiter have?")
        ['moon', 'jupiter']
    """
    return [stem(word) for word in all_words(text) if word not in _STOP_WORDS]


def all_words(text: str) -> list[str]:
    """Return the words of a text in lower case.

    Example:
        >>> all_words("Saturn's 274 moons!")
        ['saturn', 's', '274', 'moons']
    """
    return _WORD.findall(text.lower())


def search_terms(text: str) -> list[str]:
    """Return the stems of a text, or all its words where none means anything.

    Example:
        >>> search_terms("To be or not")
        ['not']
        >>> search_terms("To be or")
        ['to', 'be', 'or']
    """
    return words(text) or all_words(text)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return what the forms of an English word have in common.

    Example:
        >>> {stem(word) for word in ("orbit", "orbits", "orbited", "orbiting")}
        {'orbit'}
    """
    word = _IRREGULAR.get(word, word)
    if len(word) <= 3 or not word.isascii():
        return word
    word = _singular(word)
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and re.search("[aeiouy]", rest):
            word = _undoubled(rest)
            break
    return word.removesuffix("e") if len(word) > 3 else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "ses", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _undoubled(word: str) -> str:
    doubled = len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz"
    return word[:-1] if doubled else word
