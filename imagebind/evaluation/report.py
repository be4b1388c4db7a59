"""The report of several benchmarks: a Markdown page, JSON, and plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagebind.evaluation.plots import plots_of
from imagebind.evaluation.result import GIVEN_BY_USER, Result

REPORT_NAME, JSON_NAME = "report.md", "report.json"
MAX_LISTED_MISSING = 20  # items named in the report


def write_report(
    results: Sequence[Result], folder: Path, *, not_evaluated: Mapping[str, str] | None = None
) -> Path:
    """Write report.md, report.json and plots into a folder; return the path of report.md.

    Args:
        not_evaluated: other benchmarks, and why they were not evaluated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = [json.loads(result.to_json()) for result in results]
    (folder / JSON_NAME).write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    sections = [_head(results), *(_section(result, plots_of(result, folder)) for result in results)]
    if not_evaluated:
        lines = [f"- {name}: {reason}" for name, reason in not_evaluated.items()]
        sections.append("\n".join(["## Not evaluated", "", *lines]))
    path = folder / REPORT_NAME
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def summary(result: Result) -> str:
    """Return one line: the main figure, beside the published one if there is one."""
    figure = result.figures[result.metric]
    parts = [f"{result.title}: {result.metric} {figure}"]
    if figure.chance is not None:
        parts.append(f"chance {figure.chance:.1f}")
    if result.metric in result.paper:
        reasons = not_comparable(result)
        text = f"published {result.paper[result.metric]:.1f}"
        parts.append(text + (f" (not comparable: {'; '.join(reasons)})" if reasons else ""))
    return ", ".join([*parts, samples_of(result)])


def samples_of(result: Result) -> str:
    """Return the number of samples, beside the published number and the number left out, if there are any."""
    parts = [f"{result.samples:,} samples"]
    parts += [f"published {result.paper_samples:,}"] if result.paper_samples else []
    parts += [f"{len(result.missing):,} left out"] if result.missing else []
    return ", ".join(parts)


def not_comparable(result: Result) -> list[str]:
    """Return the reasons why a result cannot be compared with the published one."""
    reasons = []
    if result.is_partial:
        reasons.append(f"limited to {result.samples:,} samples")
    elif result.paper_samples and result.samples != result.paper_samples:
        reasons.append(f"{result.samples:,} samples, published {result.paper_samples:,}")
    if result.published_classes and result.num_classes != result.published_classes:
        reasons.append(f"{result.num_classes:,} classes, published {result.published_classes:,}")
    if result.missing:
        reasons.append(f"{len(result.missing):,} items missing")
    given = [name for name, setting in result.protocol.items() if setting.reason == GIVEN_BY_USER]
    if given:
        reasons.append(f"changed options: {', '.join(given)}")
    return reasons


def _head(results: Sequence[Result]) -> str:
    models = ", ".join(sorted({result.model for result in results}))
    versions = ", ".join(sorted({result.version for result in results}))
    lines = [
        "# Evaluation",
        "",
        f"Model: {models}. imagebind {versions}. Figures are in percent, except median ranks, with "
        "bootstrap intervals of 95 %.",
        "",
        "| benchmark | figure | measured | chance | published | samples | comparable |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        figure = result.figures[result.metric]
        reasons = "; ".join(not_comparable(result))
        comparable = "" if result.metric not in result.paper else f"no: {reasons}" if reasons else "yes"
        cells = [
            f"[{result.title}](#{_anchor(result.title)})",
            result.metric,
            str(figure),
            _number(figure.chance),
            _number(result.paper.get(result.metric)),
            f"{result.samples:,}" + (f", {len(result.missing):,} left out" if result.missing else ""),
            comparable,
        ]
        lines.append(_row(cells))
    return "\n".join(lines)


def _section(result: Result, plots: Sequence[str]) -> str:
    lines = [f"## {result.title}", "", f"{summary(result)}. Protocol: {result.protocol_name}.", ""]
    lines += ["| figure | measured | chance | published |", "|---|---|---|---|"]
    lines += [
        _row([name, str(figure), _number(figure.chance), _number(result.paper.get(name))])
        for name, figure in result.figures.items()
    ]
    lines += ["", "| option of the protocol | value | reason |", "|---|---|---|"]
    lines += [_row([name, each.value, each.reason]) for name, each in result.protocol.items()]
    lines += [line for note in result.notes for line in ("", f"{note}.")]
    for plot in plots:
        lines += ["", f"![{plot.removesuffix('.png').replace('-', ' ')}]({plot})"]
    if result.missing:
        lines += ["", f"{len(result.missing):,} items were left out:", ""]
        lines += [f"- {name}" for name in result.missing[:MAX_LISTED_MISSING]]
        if len(result.missing) > MAX_LISTED_MISSING:
            lines.append(f"- and {len(result.missing) - MAX_LISTED_MISSING:,} more")
    if result.per_class:
        lines += ["", "<details><summary>Classes</summary>", "", "| class | samples | figure |"]
        lines.append("|---|---|---|")
        ordered = sorted(result.per_class.items(), key=lambda each: -each[1][1])
        lines += [_row([label, f"{count:,}", f"{value:.1f}"]) for label, (count, value) in ordered]
        lines += ["", "</details>"]
    return "\n".join([*lines, "", f"Time: {result.seconds:.0f} s."])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _anchor(title: str) -> str:
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -")
    return kept.replace(" ", "-")
