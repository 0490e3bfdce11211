"""The targets, as ratios in one run, and whether they are met."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.peers import HERE, PEERS, Broker

Samples = Mapping[str, Sequence[Mapping[str, float]]]
"""Of each peer, the figures of each round; rounds of different peers with the same number were interleaved."""


@dataclass(frozen=True, slots=True)
class Target:
    """A goal on one broker.

    Attributes:
        measure: of which figure.
        against: the best at-least-once "peer", the best "async peer" of them, which has a loop to hold up, the "bare" loop,
            "absolute", or a peer's name.
        goal: the ratio to ours over theirs, or the figure itself.
        least: whether the goal is a minimum; else it is a maximum.
    """

    broker: Broker
    measure: str
    against: str
    goal: float
    least: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a target stands: the median over rounds; None where something needed was not measured."""

    target: Target
    value: float | None
    against: str

    @property
    def word(self) -> Literal["met", "missed", "not measured"]:
        if self.value is None:
            return "not measured"
        met = self.value >= self.target.goal if self.target.least else self.value <= self.target.goal
        return "met" if met else "missed"


DRAIN, SYNC = "drain async, tasks/s", "drain sync, tasks/s"
SINGLE, GATHER, MANY = "enqueue single, tasks/s", "enqueue gather, tasks/s", "enqueue many, tasks/s"
P50, P99, IDLE = "latency p50, ms", "latency p99, ms", "idle commands/s"

TARGETS = (
    Target("redis", DRAIN, "peer", 8),
    Target("redis", SYNC, "peer", 6),
    Target("redis", DRAIN, "bare", 0.30),
    Target("redis", SINGLE, "async peer", 0.9),
    Target("redis", GATHER, "peer", 4),
    Target("redis", MANY, "peer", 5),
    Target("redis", P50, "peer", 1, least=False),
    Target("redis", P50, "absolute", 1.0, least=False),
    Target("redis", P99, "absolute", 2.0, least=False),
    Target("redis", IDLE, "absolute", 0.3, least=False),
    Target("redis", "worker CPU async, ms per 1,000", "absolute", 25, least=False),
    Target("redis", "worker RSS, MB", "absolute", 40, least=False),
    Target("redis", "stored bytes per task", "absolute", 250, least=False),
    Target("redis", "body of a no-op task, bytes", "absolute", 120, least=False),
    Target("redis", "encode a small task, us", "absolute", 5, least=False),
    Target("redis", "decode a small task, us", "absolute", 5, least=False),
    Target("postgres", DRAIN, "pgqueuer", 2.2),
    Target("postgres", SYNC, "pgqueuer", 2.2),
    Target("postgres", DRAIN, "bare", 0.35),
    Target("postgres", SINGLE, "peer", 1.0),
    Target("postgres", GATHER, "peer", 7),
    Target("postgres", MANY, "peer", 1.1),
    Target("postgres", P50, "peer", 1, least=False),
    Target("postgres", P50, "absolute", 2.5, least=False),
    Target("postgres", P99, "absolute", 6, least=False),
    Target("postgres", IDLE, "absolute", 0.3, least=False),
    Target("mysql", DRAIN, "asynctasq_1_7", 12),
    Target("mysql", DRAIN, "bare", 0.50),
    Target("mysql", GATHER, "peer", 3),
    Target("mysql", IDLE, "absolute", 2, least=False),
    Target("sqlite", DRAIN, "huey", 8),
    Target("sqlite", DRAIN, "bare", 0.25),
    Target("sqlite", SINGLE, "huey", 1.0),
    Target("sqlite", GATHER, "huey", 8),
    Target("sqlite", P50, "absolute", 10, least=False),
    Target("sqlite", "idle CPU, % of a core", "absolute", 1, least=False),
    *(
        Target(b, "worker start to first run, ms", "absolute", 400, least=False)
        for b in ("redis", "postgres", "mysql", "sqlite")
    ),
)


def judge(target: Target, samples: Samples) -> Verdict:
    """How a target stands after these rounds on its broker."""
    ours = samples.get(HERE, ())
    if target.against == "absolute":
        values = [figures[target.measure] for figures in ours if target.measure in figures]
        return Verdict(target, statistics.median(values) if values else None, "")
    rivals = {name: rounds for name, rounds in samples.items() if _is_rival(name, target)}
    best = _best(rivals, target)
    if best is None:
        return Verdict(target, None, "")
    name, measure = best
    ratios = [
        our[target.measure] / their[measure]
        for our, their in zip(ours, rivals[name], strict=False)
        if target.measure in our and measure in their
    ]
    return Verdict(target, statistics.median(ratios) if ratios else None, name)


def _is_rival(name: str, target: Target) -> bool:
    peer = next(peer for peer in PEERS if peer.name == name)
    match target.against:
        case "peer":
            return name != HERE and not peer.bare and peer.acks == "after"
        case "async peer":
            return "gather" in peer.ways and _is_rival(name, replace(target, against="peer"))
        case "bare":
            return peer.bare
        case _:
            return name == target.against


def _best(rivals: Samples, target: Target) -> tuple[str, str] | None:
    """Who is best, and at which measure: one that has no such way or kind stands with what it has instead."""
    stands_in = {DRAIN: SYNC, GATHER: SINGLE, MANY: GATHER}
    medians: dict[tuple[str, str], float] = {}
    for name, rounds in rivals.items():
        for measure in (target.measure, stands_in.get(target.measure, "")):
            values = [figures[measure] for figures in rounds if measure in figures]
            if values:
                medians[name, measure] = statistics.median(values)
                break
    if not medians:
        return None
    return (max if target.least else min)(medians, key=lambda key: medians[key])
