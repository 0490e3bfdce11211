"""What is shown at the end, and what is found wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from rich import box
from rich.table import Table

from census.measure import Figures
from census.run import Census

TOP = 10


def problems(census: Census, direct: Mapping[str, Figures]) -> list[str]:
    """Everything that a census must be and this one is not.

    Args:
        census: what the queue brought.
        direct: the same files, counted without it.
    """
    found: list[str] = []
    counted = {path: row.figures for path, row in census.counted.items()}
    if missing := direct.keys() - counted.keys():
        found.append(f"{len(missing)} files were never counted: {_some(missing)}")
    if foreign := counted.keys() - direct.keys():
        found.append(f"{len(foreign)} rows are of no file that was dispatched: {_some(foreign)}")
    if wrong := [path for path in counted.keys() & direct.keys() if counted[path] != direct[path]]:
        found.append(f"{len(wrong)} files were counted differently: {_some(wrong)}")
    if (by_queue := _totals(counted.values())) != (directly := _totals(direct.values())):
        found.append(f"the totals differ: {by_queue} by the queue, {directly} directly")
    if lost := [path for path in census.held if path not in recovered(census)]:
        found.append(f"{len(lost)} tasks of the killed worker were not run again: {_some(lost)}")
    if not recovered(census):
        found.append("no task was recovered")
    if census.leftover:
        found.append(f"the queue still holds {census.leftover} tasks, dead letters included")
    return found


def recovered(census: Census) -> list[str]:
    """The paths whose task needed more than one attempt."""
    return [path for path, row in census.counted.items() if row.attempt > 1]


def top_modules(figures: Mapping[str, Figures]) -> Table:
    """The largest top-level modules and packages."""
    modules: defaultdict[str, dict[str, Figures]] = defaultdict(dict)
    for path, counted in figures.items():
        modules[path.partition("/")[0].removesuffix(".py")][path] = counted
    table = Table(title="The largest modules", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("module", no_wrap=True)
    for heading in ("files", "lines", "functions", "classes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("longest function", overflow="ellipsis")
    table.add_column("lines", justify="right", no_wrap=True)
    for name in sorted(modules, key=lambda name: -_totals(modules[name].values())["lines"])[:TOP]:
        totals = _totals(modules[name].values())
        longest = max(modules[name].values(), key=lambda counted: counted.longest)
        cells = [f"{totals[what]:,}" for what in ("files", "lines", "functions", "classes")]
        table.add_row(name, *cells, longest.longest_name, f"{longest.longest:,}" if longest.longest else "")
    return table


def summary(census: Census, direct: Mapping[str, Figures], *, direct_seconds: float) -> Table:
    """Totals, side by side, and what the queue had to do for them."""
    table = Table(title="The census", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("by the queue", justify="right")
    table.add_column("directly", justify="right")
    by_queue = _totals(row.figures for row in census.counted.values())
    for what, total in _totals(direct.values()).items():
        table.add_row(what, f"{by_queue[what]:,}", f"{total:,}")
    table.add_section()
    files = len(census.counted)
    table.add_row("seconds", f"{census.counted_in:.1f}", f"{direct_seconds:.1f}")
    table.add_row("tasks per second", f"{files / census.counted_in:,.0f}", "")
    table.add_row("attempts", f"{sum(row.attempt for row in census.counted.values()):,}", "")
    table.add_row("recovered tasks", f"{len(recovered(census)):,}", "")
    return table


def _totals(figures: Iterable[Figures]) -> dict[str, int]:
    every = list(figures)
    return {
        "files": len(every),
        "not parsable": sum(not counted.parsed for counted in every),
        "lines": sum(counted.lines for counted in every),
        "functions": sum(counted.functions for counted in every),
        "classes": sum(counted.classes for counted in every),
        "longest function, lines": max((counted.longest for counted in every), default=0),
    }


def _some(paths: Iterable[str]) -> str:
    return ", ".join(sorted(paths)[:5])
