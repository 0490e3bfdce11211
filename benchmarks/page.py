"""A run's figures as the part of docs/performance.md that is theirs: `python -m benchmarks.page results/run.json "a machine"`."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import plot
from benchmarks.environments import ROOT
from benchmarks.targets import TARGETS, judge

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
COLUMNS = {
    "drain async, tasks/s": "drain async /s",
    "drain sync, tasks/s": "drain sync /s",
    "enqueue single, tasks/s": "one by one /s",
    "enqueue gather, tasks/s": "gathered /s",
    "enqueue many, tasks/s": "many /s",
    "latency p50, ms": "p50 ms",
    "latency p99, ms": "p99 ms",
    "worker CPU async, ms per 1,000": "CPU ms per 1,000",
    "worker RSS, MB": "RSS MB",
    "idle commands/s": "idle /s",
    "idle CPU, % of a core": "idle CPU %",
    "stored bytes per task": "bytes",
}


def main(written: Path, machine: str) -> None:
    run: dict[str, Any] = json.loads(written.read_text())
    parts = [
        f"Medians, on {run['machine']}: {machine}. In brackets the spread, where it is over a quarter of the median."
    ]
    parts += [_part(broker, part) for broker, part in run.items() if isinstance(part, dict)]
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n\n".join(parts) + f"\n\n{END}{after}")
    PAGE.with_suffix(".svg").write_text(plot.drawn(run))


def _part(broker: str, part: dict[str, Any]) -> str:
    if "samples" not in part:
        return f"### {broker}\n\nNot measured: {part['reason']}."
    samples: dict[str, list[dict[str, float]]] = part["samples"]
    measured = {name for rounds in samples.values() for figures in rounds for name in figures}
    columns = {measure: title for measure, title in COLUMNS.items() if measure in measured}
    rows = [["peer", *columns.values()], ["---"] * (len(columns) + 1)]
    rows += [[name, *(_cell(rounds, measure) for measure in columns)] for name, rounds in samples.items()]
    lines = [
        f"### {broker}",
        "",
        f"{part['setting']}; {max(map(len, samples.values()))} rounds.",
        "",
        *_table(rows),
        "",
    ]
    lines += [
        f"{name} could not run everything: {'; '.join(dict.fromkeys(reasons))}\n"
        for name, reasons in part["failures"].items()
    ]
    return "\n".join(
        [*lines, *_table([["target", "goal", "seen", "verdict"], ["---"] * 4, *_verdicts(broker, samples)])]
    )


def _cell(rounds: list[dict[str, float]], measure: str) -> str:
    values = [figures[measure] for figures in rounds if measure in figures]
    if not values:
        return ""
    median = statistics.median(values)
    wide = max(values) - min(values) > median / 4
    return _number(median) + (f" ({_number(min(values))}..{_number(max(values))})" if wide else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _verdicts(broker: str, samples: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    rows = []
    for target in TARGETS:
        if target.broker == broker:
            verdict = judge(target, samples)
            times = "" if target.against == "absolute" else "x"
            against = f" against {verdict.against}" if verdict.against else ""
            seen = "" if verdict.value is None else f"{verdict.value:,.2f}{times}"
            goal = f"{'at least' if target.least else 'at most'} {target.goal:g}{times}{against}"
            rows.append([target.measure, goal, seen, verdict.word])
    return rows


def _table(rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
