"""Questions that refer back, made to stand alone: "And Mars?", "How long is its year?", "When?"."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from dify_local._answers.extractive import LEAD_IN
from dify_local._answers.questions import asked_in, is_superlative
from dify_local._answers.sentences import leading_name, names_in
from dify_local._storage.conversations import Turn
from dify_local._storage.knowledge import words
from dify_local._storage.knowledge.words import all_words

_DEEPEST = 6
_TOPIC = re.compile(rf"{LEAD_IN}s? on ([^:]+): (.*)", re.DOTALL)
_AND = re.compile(r"^\s*(?:and|or|what about|how about|but|so|ok,?)\b[\s,]*", re.IGNORECASE)
_ASKS = re.compile(
    r"^(?:who|whom|whose|when|where|why|how|which|what|is|are|does|do|did|was|were|has|have|can|name"
    r"|list|tell|since|by)\b",
    re.IGNORECASE,
)
_WH = re.compile(
    r"^(?:(?:by|since|for|in|at|to|from) )?(?:whom|how \w+|who|when|where|why|which|what)"
    r"(?: (?:is|are|was|were|does|do|did|has|have))?\b",
    re.IGNORECASE,
)
_ONE = re.compile(
    r"\b(?:it|that|this) (?:planet|moon|star|one|place|person|thing|document)\b"
    r"|\b(?:it|he|she|him|that one|this one|(?-i:the planet|the moon))\b",
    re.IGNORECASE,
)
_WHICH_ONE = re.compile(r"\bwhich ones?\b", re.IGNORECASE)
_BARE_POSSESSIVE = re.compile(r"(\w+'s)(?=\s*\??$| (?:made|like|called|named)\b)")
_COMPARES = re.compile(
    r"^(?:(?:which|who|what) (?:is|are|was|has)|name) (?:the )?\w+(?:er|est)$", re.IGNORECASE
)
_VERB = re.compile(r"\b(?:is|are|was|were|do|does|did|has|have|had|can|will|\w{3,}(?:s|ed))\b")
_PREDICATE = re.compile(r"\b(?:made|called|named|like|consist)\b.*")
_ITS = re.compile(r"\b(?:its|his|her)\b", re.IGNORECASE)
_MANY = re.compile(
    r"\b(?:those|these|them|they|their)(?: (?:moons|planets|ones|two|things))?\b"
    r"|\b(?:both|each) of them\b",
    re.IGNORECASE,
)
_THERE = re.compile(r"\bthere\b", re.IGNORECASE)
_THERE_IS = re.compile(r"\b(?:are|is|were|was) there\b", re.IGNORECASE)
_THAT = re.compile(r"\b(?:that|this)\b(?=\s*\??$|\s+(?:happen|take|be)\b)", re.IGNORECASE)


def standalone_question(query: str, history: Sequence[Turn], titles: Collection[str] = ()) -> str:
    """Return a question that can be understood alone, by saying what it refers to.

    Args:
        query: The newest question.
        history: The turns before it, oldest first.
        titles: What the documents are about; they are known as names, also in lower case.

    Example:
        >>> standalone_question("And Mars?", [Turn("How many moons has Jupiter?", "97.")])
        'How many moons has Mars?'
    """
    query = asked_in(query) if "\n" in query.strip() else query
    if not history:
        return query
    before = standalone_question(history[-1].query, history[:-1][-_DEEPEST:], titles)
    return _Reference(before, history[-1].answer, titles).resolve(query)


class _Reference:
    """What a question may refer to: the question before it and its answer."""

    def __init__(self, question: str, answer: str, titles: Collection[str]) -> None:
        self.question = question.strip().rstrip("?!. ")
        told = _TOPIC.match(answer)
        self.topic = told[1] if told else None
        self.told = told[2] if told else answer
        self.titles = [title.removeprefix("The ") for title in titles]

    def resolve(self, query: str) -> str:
        """Return the query with what it refers to put in."""
        short = _AND.sub("", query).strip()
        continued = short != query.strip()
        bare = short.rstrip("?!. ")
        if not self._refers(short):
            if not words(bare) and _WH.match(bare):
                return f"{bare} {self._stated()}?"
            if re.search(r"\bnone\b", bare):
                return self._none(bare)
            if _ASKS.match(bare) and _BARE_POSSESSIVE.search(bare):
                return _BARE_POSSESSIVE.sub(rf"\1 {self._last()}", bare) + "?"
            if _WH.match(bare) and not _VERB.search(bare):
                return f"{bare} {self.one()}?"
            if _COMPARES.match(bare) and not self._superlatives():
                return f"{bare} of {self.many()}?"
            if (continued or not _ASKS.match(bare)) and len(words(bare)) <= 4:
                return self._continued(bare)
            return query
        return self._replaced(short)

    @staticmethod
    def _refers(text: str) -> bool:
        if _THERE.search(text) and not _THERE_IS.search(text):
            return True
        return any(one.search(text) for one in (_ONE, _ITS, _MANY, _THAT, _WHICH_ONE))

    def _replaced(self, text: str) -> str:
        one, many = self.one(), self.many()
        if _THAT.search(text) and not _ONE.search(text):
            return _THAT.sub(self._happened(), text)
        text = _WHICH_ONE.sub(f"which {many}", text)
        text = _MANY.sub(many, text)
        text = _ITS.sub(f"{one}'s", text)
        sort = re.search(r"\b(?:that|this) (\w+)", text, re.IGNORECASE)
        if sort and self.topic and re.search(rf"\b(?:which|what) {sort[1]}\b", self.question):
            one = self.topic
        text = _ONE.sub(one, text)
        if not _THERE_IS.search(text):
            text = _THERE.sub(f"on {one}", text)
        return text

    def _continued(self, bare: str) -> str:
        """Return the question before, with what is new in it put in the place of its like."""
        if not bare:
            return self.question
        new_superlatives = [word for word in all_words(bare) if is_superlative(word)]
        old_superlatives = self._superlatives()
        if _ASKS.match(bare):
            missing = "" if not new_superlatives else f" {self._head()}"
            return f"{bare}{missing}?"
        if new_superlatives and old_superlatives:
            return self._with_superlative(old_superlatives[0], bare)
        names = self._names(bare)
        others = set(words(bare)) - {one for name in names for one in words(name)}
        if not names:
            return f"{self.question} {bare}?"
        if others:
            asked = _WH.match(self.question)
            return f"{asked[0] if asked else self.question} {bare}?"
        old = self._names(self.question)
        place = re.match(r"(of|on|in|from|to|for|at|by)\b", bare, re.IGNORECASE)
        if place:
            same = [
                one
                for one in old
                if re.search(
                    rf"\b{place[1]} (?:the )?{re.escape(one)}", self.question, re.IGNORECASE
                )
            ]
            old = same or old
        new = re.sub(r"^(?:of|on|in|for|at|by|with)\s+|'s$|s'$", "", bare, flags=re.IGNORECASE)
        return self._with(old[0], new) if old else f"{self.question} {new}?"

    def _with(self, old: str, new: str) -> str:
        pattern = re.compile(rf"\b{re.escape(old)}\b", re.IGNORECASE)
        return pattern.sub(new, self.question, count=1) + "?"

    def _with_superlative(self, old: str, bare: str) -> str:
        """Replace a superlative, with the noun behind it where the new one brings its own."""
        new = re.sub(r"^(?:which|what|who)(?: is| are)? |^the ", "", bare, flags=re.IGNORECASE)
        with_noun = len(words(new)) > 1
        pattern = rf"\b{re.escape(old)}\b" + (r"(?: \w+)?" if with_noun else "")
        return re.sub(pattern, new, self.question, count=1, flags=re.IGNORECASE) + "?"

    def _head(self) -> str:
        match = re.match(r"(?:which|what) (\w+)", self.question, re.IGNORECASE)
        return match[1] if match and words(match[1]) else ""

    def _last(self) -> str:
        """Return the last word of the question before that means something."""
        nouns = [word for word in all_words(self.question) if words(word)]
        return nouns[-1] if nouns else ""

    def _rest(self) -> str:
        return _WH.sub("", self.question).strip()

    def _stated(self) -> str:
        """Return the question before as a statement, with its answer in it where it is a name."""
        found = leading_name(self.told)
        if found and self._identifies():
            return re.sub(
                r"^(?:which|what|who)(?: \w+)?", found, self.question, flags=re.IGNORECASE
            )
        return self._rest()

    def _none(self, bare: str) -> str:
        """Return a question for what has none of what the question before was about."""
        asked = re.sub(r"\bnone\b", f"no {self._last()}", bare)
        return re.sub(r"^(which|what) (?=has|have|had)", rf"\1 {self._head()} ", asked) + "?"

    def _identifies(self) -> bool:
        """Tell whether the question before asked which one it is, not something of a named one."""
        if not re.match(r"(?:which|what|who)\b", self.question, re.IGNORECASE):
            return False
        return bool(self._superlatives()) or not self._names(self.question)

    def _superlatives(self) -> list[str]:
        return [word for word in all_words(self.question) if is_superlative(word)]

    def _names(self, text: str) -> list[str]:
        names = names_in(f"x {text}") if not _ASKS.match(text) else names_in(text)
        found = (re.search(rf"\b{re.escape(title)}\b", text, re.I) for title in self.titles)
        known = [match[0] for match in found if match]
        return [*(name for name in known if not any(name in one for one in names)), *names]

    def one(self) -> str:
        """Return the one thing that was spoken of last."""
        named = self._names(self.question)
        found = leading_name(self.told)
        if found and self._identifies():
            return found
        if named:
            return named[-1]
        return found or self.topic or self.question

    def many(self) -> str:
        """Return the things that were spoken of last."""
        if self._identifies() and leading_name(self.told):
            return f"{self._last()} of {self.one()}"
        return self._happened()

    def _happened(self) -> str:
        """Return what the question before was about, without what it asked."""
        rest = re.sub(r"\b(?:do|does|did|has|have|is the|are the|\w+ed)\b", "", self._rest())
        return " ".join(_PREDICATE.sub("", rest).split()) or self.one()
