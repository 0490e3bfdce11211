"""What a run has measured, as tables on a terminal."""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers import PEERS
from benchmarks.targets import TARGETS, judge


def show(broker: str, run: dict[str, Any]) -> None:
    """Figures of each peer (median, and spread over the rounds), what could not run and why, and the verdicts."""
    console = Console()
    if reason := run.get("reason"):
        console.print(f"{broker}: not measured: {reason}")
        return
    console.rule(f"{broker}: {run['setting']}")
    measures = sorted({measure for rounds in run["samples"].values() for figures in rounds for measure in figures})
    for measure in measures:
        table = Table("peer", "median", "min .. max", title=measure, title_justify="left", min_width=50)
        for name, rounds in run["samples"].items():
            values = [figures[measure] for figures in rounds if measure in figures]
            if values:
                table.add_row(name, f"{statistics.median(values):,.1f}", f"{min(values):,.1f} .. {max(values):,.1f}")
        console.print(table)
    for peer in PEERS:
        if peer.note and peer.name in run["samples"]:
            console.print(f"{peer.name}: acknowledges {peer.acks} the run; {peer.note}")
    for name, reasons in run["failures"].items():
        console.print(f"[red]{name} could not run[/]: {'; '.join(dict.fromkeys(reasons))}")
    table = Table("target", "goal", "value", "against", "verdict", title=f"targets, {broker}")
    for target in TARGETS:
        if target.broker == broker:
            verdict = judge(target, run["samples"])
            goal = f"{'>=' if target.least else '<='} {target.goal:g}{'' if target.against == 'absolute' else 'x'}"
            value = "" if verdict.value is None else f"{verdict.value:,.2f}"
            table.add_row(target.measure, goal, value, verdict.against, verdict.word)
    console.print(table)
