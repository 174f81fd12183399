"""The results as JSON, as a table in Markdown and as a plot."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.bars import BARS
from benchmarks.results import Results

_PLOTTED = ("stream", "astream", "streams-200", "streams-1000")


def write(results: Results, titles: dict[str, str], folder: Path) -> str:
    """Write the results into a folder; return the Markdown.

    They are `results.json` and `.md`, and `.svg` where a case was measured that is plotted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(results, titles)
    (folder / "results.md").write_text(text)
    (folder / "results.json").write_text(json.dumps(as_json(results), indent=1) + "\n")
    if cases := [case for case in _PLOTTED if case in results.figures]:
        try:
            plot(results, cases, titles, folder / "results.svg")
        except ImportError as error:
            print(f"no plot: {error}")
    return text


def as_json(results: Results) -> dict[str, object]:
    """Everything that was measured, and what the bars came to."""
    return {
        **asdict(results),
        "bars": [{"path": p, "is": i, "bar": b} for p, i, b in bars(results)],
    }


def bars(results: Results) -> list[tuple[str, float | None, float]]:
    """For each bar its path, what was measured (None where it was not), and the limit."""
    return [(bar.path, bar.measure(results), bar.limit) for bar in BARS]


def markdown(results: Results, titles: dict[str, str]) -> str:
    """The tables: the bars first, then the medians of every case."""
    facts = results.facts
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [
        "# Results",
        "",
        f"Python {facts['python']}, {facts['machine']}; {versions}.",
        "Medians; ratios are taken within each round. CPU time of the client process.",
        "",
        "| path | measured | bar | |",
        "|---|--:|--:|---|",
    ]
    for bar in BARS:
        value = bar.measure(results)
        unit = f" {bar.unit}" if bar.unit else ""
        shown = "not measured" if value is None else f"{value:.2f}{unit}"
        verdict = "" if value is None else ("met" if value <= bar.limit else "**missed**")
        lines.append(f"| {bar.path} | {shown} | <= {bar.limit:g}{unit} | {verdict} |")
    for case, figures in results.figures.items():
        lines += ["", f"## {results.titles[case]}", "", f"| | {results.units[case]} |", "|---|--:|"]
        lines += [
            f"| {titles.get(name, name) if case != 'import' else name} "
            f"| {results.median(case, name):.4g} |"
            for name in figures
        ]
    notes = {**results.skipped, **results.failed}
    if notes:
        lines += ["", "## Not measured", "", *(f"- {name}: {why}" for name, why in notes.items())]
    return "\n".join(lines) + "\n"


def plot(results: Results, cases: list[str], titles: dict[str, str], path: Path) -> None:
    """Bars of CPU time per token, side by side for each case.

    Raises:
        ImportError: Without matplotlib.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(cases), figsize=(5.5 * len(cases), 6), squeeze=False)
    for axis, case in zip(axes[0], cases, strict=True):
        medians = {name: results.median(case, name) or 0.0 for name in results.figures[case]}
        names = sorted(medians, key=lambda name: -medians[name])
        ours = {"dify_api", "ChatDify", "Dify"}
        shades = [
            "tab:blue" if n in ours else "0.5" if "OpenAI" in n or "-" in n else "0.7"
            for n in names
        ]
        drawn = axis.barh(
            [titles[name].replace("*", "") for name in names],
            [medians[name] for name in names],
            color=shades,
        )
        axis.bar_label(drawn, fmt="%.0f", padding=2)
        axis.set_title(f"{results.titles[case]}\nus of CPU per token", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
