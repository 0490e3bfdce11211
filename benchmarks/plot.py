"""The drain of every peer as an SVG: bars on a logarithmic scale, one group per broker."""

from __future__ import annotations

import math
import statistics
from html import escape
from typing import Any

from benchmarks.peers import HERE

ROW, LEFT, WIDTH = 22, 170, 520
TOP = 1e6
"""Tasks per second at the right edge; the left edge is 10."""


def drawn(run: dict[str, Any]) -> str:
    """The plot of a run's medians."""
    parts: list[str] = []
    y = 10
    for broker, part in run.items():
        if not isinstance(part, dict) or "samples" not in part:
            continue
        y += ROW
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{escape(broker)}: no-op tasks drained per second</text>')
        for rate, name in sorted(_rates(part["samples"]), reverse=True):
            y += ROW
            length = WIDTH * max(0.0, math.log10(rate / 10) / math.log10(TOP / 10))
            colour = "#1f77b4" if name == HERE else "#cccccc" if name.startswith("bare") else "#888888"
            parts.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y - 12}" width="{length:.0f}" height="15" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + length + 6:.0f}" y="{y}">{rate:,.0f}</text>')
    size = f'width="{LEFT + WIDTH + 90}" height="{y + 14}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n{body}\n</svg>\n'


def _rates(samples: dict[str, list[dict[str, float]]]) -> list[tuple[float, str]]:
    """Of each peer its async drain, or the synchronous one where it has no other."""
    rates = []
    for name, rounds in samples.items():
        for measure in ("drain async, tasks/s", "drain sync, tasks/s"):
            if values := [figures[measure] for figures in rounds if measure in figures]:
                rates.append((statistics.median(values), name))
                break
    return rates
