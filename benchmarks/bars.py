"""The bars: what is promised of our paths, as ratios within one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import Results

Figure = tuple[str, str]
"""Case and contender."""


@dataclass(frozen=True)
class Bar:
    """A promise.

    Attributes:
        path: What is compared.
        limit: The figure must not exceed it.
        measure: Works the figure out; None where it was not measured.
        unit: Of the figure; "" for a ratio.
    """

    path: str
    limit: float
    measure: Callable[[Results], float | None]
    unit: str = ""


def ratio(
    ours: Figure,
    *against: Figure,
    combine: Callable[[Sequence[float]], float] = sum,
) -> Callable[[Results], float | None]:
    """Ours by the sum (or another combination) of others.

    The ratio is taken within each round, where the machine was as busy for both, and the median
    of the rounds is the figure.
    """

    def measure(results: Results) -> float | None:
        others = [results.rounds(*figure) for figure in against]
        rounds = list(zip(results.rounds(*ours), *others, strict=False))
        return median(own / combine(rest) for own, *rest in rounds) if rounds else None

    return measure


def growth(
    name: str, small: str, large: str, against: Sequence[str]
) -> Callable[[Results], float | None]:
    """How much more a token costs in a large answer than what it is compared with does.

    The cases are minutes apart, in which the machine gets faster or slower for all. And LangChain
    keeps all chunks of an answer, over which Python's garbage collections pass again and again.
    """

    figures = [
        ratio((case, name), *((case, other) for other in against)) for case in (small, large)
    ]

    def measure(results: Results) -> float | None:
        before, after = (figure(results) for figure in figures)
        return after / before if before and after else None

    return measure


def difference(case: str, ours: str, other: str) -> Callable[[Results], float | None]:
    """Ours less the other's."""

    def measure(results: Results) -> float | None:
        rounds = list(zip(results.rounds(case, ours), results.rounds(case, other), strict=False))
        return median(own - rest for own, rest in rounds) if rounds else None

    return measure


def _streams() -> list[Bar]:
    bars = []
    for case, how in (("stream", ""), ("stream-coalesced", ", coalesced")):
        bars.append(
            Bar(
                f"`dify_api` stream of events / httpx loop{how}",
                1.25,
                ratio((case, "dify_api"), (case, "httpx")),
            )
        )
    for ours, floor, framework in (
        ("ChatDify", "langchain-floor", "LangChain"),
        ("Dify", "llama-index-floor", "LlamaIndex"),
    ):
        bars += [
            Bar(
                f"`{ours}` {case} / (httpx loop + {framework} floor)",
                limit,
                ratio((case, ours), (case, "httpx"), (case, floor)),
            )
            for case, limit in (
                ("stream", 0.75),
                ("astream", 1.10),
                ("stream-coalesced", 1.10),
                ("astream-coalesced", 1.10),
            )
        ]
    for case in ("stream", "stream-coalesced"):
        bars += [
            Bar(
                f"`ChatDify` {case} / `ChatOpenAI`",
                0.25,
                ratio((case, "ChatDify"), (case, "ChatOpenAI")),
            ),
            Bar(f"`Dify` {case} / `OpenAILike`", 0.25, ratio((case, "Dify"), (case, "OpenAILike"))),
            Bar(
                f"`ChatDify` {case} / the cheapest partner",
                1.0,
                ratio(
                    (case, "ChatDify"), (case, "ChatMistralAI"), (case, "ChatOpenAI"), combine=min
                ),
            ),
        ]
    return bars


def _calls() -> list[Bar]:
    bars = []
    for ours, floor in (("ChatDify", "langchain-floor"), ("Dify", "llama-index-floor")):
        bars += [
            Bar(
                f"`{ours}` {title} / ({loop} loop + floor)",
                limit,
                ratio((case, ours), (case, loop), (case, floor)),
            )
            for case, title, loop, limit in (
                ("calls", "short calls, sequential", "httpx", 1.4),
                ("calls-50", "short calls, 50 at a time", "aiohttp", 2.0),
            )
        ]
    bars += [
        Bar(
            f"`{ours}` short calls, sequential / the cheapest partner",
            1.0,
            ratio(("calls", ours), *(("calls", name) for name in partners), combine=min),
        )
        for ours, partners in (
            ("ChatDify", ("ChatMistralAI", "ChatOpenAI")),
            ("Dify", ("OpenAILike",)),
        )
    ]
    bars.append(
        Bar(
            "an agent with one tool / (httpx loop + the agent's floor)",
            1.4,
            ratio(("agent", "agent"), ("agent", "httpx"), ("agent", "agent-floor")),
        )
    )
    return bars


def _growth() -> list[Bar]:
    return [
        *(
            Bar(
                f"`{name}` per token, 80,000 tokens / 2,000, each by {title}",
                1.3,
                growth(name, "answer-2k", "answer-80k", against),
            )
            for name, title, against in (
                ("dify_api", "the httpx loop", ("httpx",)),
                ("ChatDify", "(httpx loop + LangChain floor)", ("httpx", "langchain-floor")),
                ("Dify", "the httpx loop", ("httpx",)),
            )
        ),
        Bar(
            "`ChatDify`, a character an event / `dify_api`",
            3.0,
            ratio(("letters", "ChatDify"), ("letters", "dify_api")),
        ),
        Bar(
            "`ChatDify`, a character an event / (`dify_api` + LangChain floor)",
            0.75,
            ratio(("letters", "ChatDify"), ("letters", "dify_api"), ("letters", "langchain-floor")),
        ),
        *(
            Bar(
                f"`{name}` after 1,000 turns / after 100",
                10.0,
                ratio(("histories", f"{name}-1000"), ("histories", f"{name}-100")),
            )
            for name in ("ChatDify", "Dify")
        ),
        *(
            Bar(f"`{name}` per open stream", 40.0, lambda r, n=name: r.median("memory", n), "KiB")
            for name in ("ChatDify", "Dify")
        ),
    ]


def _concurrent() -> list[Bar]:
    bars = []
    for count in (200, 1000):
        case = f"streams-{count}"
        for ours, floor in (("ChatDify", "langchain-floor"), ("Dify", "llama-index-floor")):
            bars.append(
                Bar(
                    f"`{ours}` {count} streams / (aiohttp loop + floor)",
                    1.25,
                    ratio((case, ours), (case, "aiohttp"), (case, floor)),
                )
            )
        bars.append(
            Bar(
                f"`ChatDify` {count} streams / `ChatOpenAI`",
                0.5,
                ratio((case, "ChatDify"), (case, "ChatOpenAI")),
            )
        )
    return bars


def _starts() -> list[Bar]:
    bars = [
        Bar(f"`{name}` {case} - httpx", 1.0, difference(case, name, "httpx"), "ms")
        for case in ("first-token", "first-token-async")
        for name in ("ChatDify", "Dify")
    ]
    for name in ("ChatDify", "Dify"):
        bars += [
            Bar(
                f"`{name}` requests per answer",
                1.0,
                lambda r, n=name: r.requests.get(n),
                "requests",
            ),
            Bar(f"constructing `{name}`", 100.0, lambda r, n=name: r.median("construct", n), "us"),
            Bar(
                f"constructing `{name}`: TLS contexts and sockets",
                0.0,
                lambda r, n=name: r.built.get(n),
                "built",
            ),
        ]
    core = "langchain_core.language_models"
    bars.append(
        Bar(
            f"`import langchain_dify` / `{core}`",
            1.1,
            ratio(("import", "langchain_dify"), ("import", core)),
        )
    )
    bars += [
        Bar(f"importing `{ours}` / `{base}`", 1.1, ratio(("import", ours), ("import", base)))
        for ours, base in (("ChatDify", "BaseChatModel"), ("Dify", "LLM"))
    ]
    bars.append(
        Bar("importing `LocalDify`", 400.0, lambda r: r.median("import", "LocalDify"), "ms")
    )
    return bars


BARS = (*_streams(), *_calls(), *_growth(), *_concurrent(), *_starts())
