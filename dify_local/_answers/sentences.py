"""Sentences, with what they are about: a sentence that begins with "it" is about the one before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from dify_local._storage.knowledge.words import all_words, stem, words

_BOUNDARY = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")
_NO = re.compile(r"\b(?:no|not|without|never)\b ((?:\w+ ?){1,2})")
_ENUMERATION = re.compile(r"[A-Z][\w'-]+(?:, [A-Z][\w'-]+)* and [A-Z][\w'-]+")
_DEFINES = re.compile(r"\b(?:is|are|was) (?:an?|the)\b")
_SEVERAL = re.compile(r"(?:they|their|them|both|these|those)\b", re.IGNORECASE)
_MADE_OF = re.compile(r"\b(?:made|built)(?: up)?(?: (?:mostly|mainly))?(?= (?:of|from|out of)\b)")
_PHRASES = (
    (_MADE_OF, "consist"),
    (re.compile(r"\b(?:go|goes|travels?|moves?) (?:a)?round\b"), "orbit"),
    (re.compile(r"\b(?:fly|flies|flew|flown|pass|passed) (?:past|by)\b"), "visit"),
)
_PRONOUN = re.compile(
    r"(?:it|its|they|their|them|he|his|she|her|this|that|these|those|both|one of them)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|could|will|would|does|did|also|always|only"
    r"|(?:discover|call|nam|orbit|visit|land|launch|carri|cover|reach|predict|walk|look|start|open"
    r"|clos|enter|work|us|show)ed|takes?|lasts?|lies?|orbits?|turns?|consists?|carry|carries|holds?|causes?|comes?|gives?"
    r"|needs?|opens?|closes?|costs?|makes?|shows?|throws?|points?|returns?|rises?|became|flew)\b"
)
_NAME = re.compile(r"[A-Z][\w'-]*(?: (?:[A-Z][\w'-]*|\d+|of(?= [A-Z])))*")
_ARTICLE = re.compile(r"(?:the|an?|most|all|some|in|on|by|near|since|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """A sentence of a segment, read once.

    Attributes:
        text: As it stands.
        subject: What it is about, in words; that of the sentence before for a pronoun.
        ordered: The stems of its words in order.
        stems: The same as a set, with what its names are called for short.
        subject_stems: The stems of its subject.
        subject_names: Those of the names in its subject.
        denied: The stems of what it says there is not.
        enumerates: Whether it lists names.
        defines: Whether it says what something is.
    """

    text: str
    subject: str
    ordered: tuple[str, ...]
    stems: frozenset[str]
    subject_stems: frozenset[str]
    subject_names: frozenset[str]
    denied: frozenset[str]
    enumerates: bool
    defines: bool


def _read(text: str, subject: str) -> Sentence:
    ordered = tuple(stem(word) for word in all_words(plainly(text)))
    names = names_in(f"x {subject}")
    return Sentence(
        text,
        subject,
        ordered,
        frozenset(ordered) | _initials(text),
        frozenset(words(subject)) | _initials(subject),
        frozenset(one for name in names for one in words(name)),
        frozenset(one for denial in _NO.findall(text) for one in words(denial)),
        _ENUMERATION.search(text) is not None,
        _DEFINES.search(text) is not None,
    )


@lru_cache(maxsize=5_000)
def sentences_of(text: str, title: str) -> tuple[Sentence, ...]:
    """Return the sentences of a text.

    Args:
        text: The text.
        title: What it is about where its first sentence does not say.

    Example:
        >>> [one.subject for one in sentences_of("Io is hot. It has volcanoes.", "Jupiter")]
        ['Io', 'Io']
    """
    found: list[Sentence] = []
    subject = title
    for part in _BOUNDARY.split(" ".join(text.split())):
        if found and _SEVERAL.match(part):
            subject = found[-1].text
        elif not _PRONOUN.match(part):
            subject = _subject(part) or subject
        found.append(_read(part, subject))
    return tuple(found)


def _initials(text: str) -> frozenset[str]:
    """Return what the names of a text are called for short, such as "iss"."""
    names = [name.removeprefix("The ").split() for name in _NAME.findall(text)]
    return frozenset("".join(word[0] for word in name).lower() for name in names if len(name) > 1)


def plainly(text: str) -> str:
    """Return a text with one word for what several say together.

    Example:
        >>> plainly("What is the Sun mostly made up of?")
        'What is the Sun mostly consist of?'
    """
    for several, one in _PHRASES:
        text = several.sub(one, text)
    return text


def _subject(sentence: str) -> str:
    verb = _VERB.search(sentence)
    return sentence[: verb.start()].strip(" ,") if verb else " ".join(sentence.split()[:4])


def names_in(text: str) -> list[str]:
    """Return the names in a text: words that begin with a capital, but for a first word.

    Example:
        >>> names_in("Who was sent to Europa by the European Space Agency?")
        ['Europa', 'European Space Agency']
    """
    return [match[0] for match in _NAME.finditer(text) if match.start() > 0]


def leading_name(sentence: str) -> str | None:
    """Return the name that a sentence begins with, if it begins with one.

    Example:
        >>> leading_name("Neil Armstrong was the first."), leading_name("Its moon is Io.")
        ('Neil Armstrong', None)
    """
    if _PRONOUN.match(sentence):
        return None
    match = _NAME.match(re.sub(r"^The ", "", sentence))
    return None if match is None or _ARTICLE.fullmatch(match[0]) else match[0]
