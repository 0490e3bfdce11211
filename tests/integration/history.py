"""What happened to tasks under faults, and whether it may have: a pure checker over a recorded history.

Times are seconds on the machine's monotonic clock, which all its processes share. The tolerances that `check` takes say how
far two honest observers of the same moment may be apart.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

How = Literal["ok", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """An enqueue that returned. `at` is when it was asked for: nothing of it can have happened before.

    It returned at `acknowledged`, which matters only where a broker fails over.
    """

    task: str
    at: float
    acknowledged: float | None = None
    delay: float = 0.0
    retry_delay: float = 0.0
    max_attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A task's function began to run in the process `pid`."""

    task: str
    at: float
    attempt: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """It ended. A cancelled attempt is given back: its number may be used once more."""

    task: str
    at: float
    attempt: int
    pid: int
    how: How = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """The process `pid` was killed, or ended on its own where it should not have."""

    pid: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """The process `pid` stood still, with all its threads, from `at` to `until`."""

    pid: int
    at: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """No process could reach the broker from `at` to `until`."""

    at: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedOver:
    """The broker's place was taken by a replica, which had not been told all that was acknowledged from `at` to `until`.

    What was enqueued then may be lost, and what was claimed, renewed or settled then may be as it was before. Nothing else may.
    """

    at: float
    until: float

    def undoes(self, began: float, ended: float) -> bool:
        """Whether it may undo what was acknowledged at some moment of that time."""
        return self.at <= ended and began <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """When all was over, the task was a dead letter."""

    task: str


Event = Enqueued | Started | Ended | Killed | Paused | CutOff | FailedOver | Dead

Fault = Killed | Paused | CutOff | FailedOver


class Kind(enum.Enum):
    """What can be wrong with a history."""

    LOST = "an enqueued task neither ended well nor became a dead letter"
    PHANTOM = "a task ran, or died, that nobody enqueued"
    DUPLICATE = "a task ran again, and nothing that happened to the run before excuses it"
    ATTEMPT = "attempt numbers did not strictly increase, or went beyond what the task allows"
    EARLY = "a task started before its delay had passed"


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise broken for one task."""

    kind: Kind
    task: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Run:
    started: Started
    ended: Ended | None


def check(
    history: Iterable[Event],
    *,
    lease: float,
    settling: float = 1.0,
    clock_slack: float = 0.05,
    atomic_move: bool = True,
) -> list[Violation]:
    """Every violation in a history that was recorded until the queues were empty.

    Args:
        history: the events, in any order.
        lease: seconds of the workers' leases: a pause, or a cut, of less than half of it excuses nothing.
        settling: seconds that a worker may take to settle what has ended. A kill later than that excuses nothing.
        clock_slack: seconds by which the broker's clock and ours may disagree about a delay.
        atomic_move: whether the broker moves a message in one step. Else a worker that is killed while it settles what is to run
            again may leave two of it, and from then on each runs by itself.
    """
    enqueued: dict[str, Enqueued] = {}
    starts: dict[str, list[Started]] = defaultdict(list)
    ends: dict[tuple[str, int, int], Ended] = {}
    dead: set[str] = set()
    faults: dict[int, list[Fault]] = defaultdict(list)
    cuts: list[CutOff] = []
    failovers: list[FailedOver] = []
    for event in history:
        match event:
            case Enqueued():
                enqueued[event.task] = event
            case Started():
                starts[event.task].append(event)
            case Ended():
                ends[event.task, event.attempt, event.pid] = event
            case Killed() | Paused():
                faults[event.pid].append(event)
            case CutOff():
                cuts.append(event)
            case FailedOver():
                failovers.append(event)
            case Dead():
                dead.add(event.task)

    violations: list[Violation] = []
    for task in sorted(enqueued.keys() | starts.keys() | dead | {task for task, _, _ in ends}):
        first = enqueued.get(task)
        if first is None:
            violations.append(Violation(Kind.PHANTOM, task, "never enqueued"))
            continue
        runs = [
            _Run(start, ends.get((task, start.attempt, start.pid)))
            for start in sorted(starts[task], key=lambda start: start.at)
        ]
        is_done = task in dead or any(run.ended and run.ended.how == "ok" for run in runs)
        acknowledged = first.at if first.acknowledged is None else first.acknowledged
        if not is_done and not any(each.undoes(acknowledged, acknowledged) for each in failovers):
            violations.append(Violation(Kind.LOST, task, f"{len(runs)} runs, none ended well"))
        if not atomic_move and any(_doubled(run, faults[run.started.pid], settling) for run in runs):
            continue
        violations += _attempts(first, runs, failovers)
        violations += _early(first, runs, clock_slack)
        violations += [
            Violation(Kind.DUPLICATE, task, f"attempt {again.started.attempt} in {again.started.pid} after {before}")
            for before, again in pairwise(runs)
            if not _excused(
                before, again, [*faults[before.started.pid], *cuts, *failovers], lease=lease, settling=settling
            )
        ]
    return violations


def duplicates(history: Iterable[Event]) -> int:
    """How many runs there were beyond the first of each task."""
    starts = [event.task for event in history if isinstance(event, Started)]
    return len(starts) - len(set(starts))


def _attempts(first: Enqueued, runs: Sequence[_Run], failovers: Sequence[FailedOver]) -> list[Violation]:
    violations: list[Violation] = []
    lowest = 1
    for run in runs:
        attempt = run.started.attempt
        if not lowest <= attempt <= max(1, first.max_attempts):
            detail = f"attempt {attempt}, expected {lowest} to {first.max_attempts}"
            violations.append(Violation(Kind.ATTEMPT, first.task, detail))
        if any(each.undoes(run.started.at, run.started.at) for each in failovers):
            continue  # the claim may be forgotten, and its number with it
        given_back = run.ended is not None and run.ended.how == "cancelled"
        lowest = attempt if given_back else attempt + 1
    return violations


def _early(first: Enqueued, runs: Sequence[_Run], slack: float) -> list[Violation]:
    due = first.at + first.delay
    violations: list[Violation] = []
    previous: Ended | None = None
    for run in runs:
        # A failure reported by a zombie, after the next run began, delays nothing.
        if previous is not None and previous.how == "failed" and previous.at <= run.started.at:
            due = previous.at + first.retry_delay
        if run.started.at < due - slack:
            detail = f"attempt {run.started.attempt} started {due - run.started.at:.3f} s early"
            violations.append(Violation(Kind.EARLY, first.task, detail))
        previous = run.ended
    return violations


def _doubled(run: _Run, faults: Iterable[Fault], settling: float) -> bool:
    """Whether a worker was killed while it sent a copy of what was to run again."""
    if run.ended is None or run.ended.how == "ok":
        return False
    ended = run.ended.at
    return any(isinstance(fault, Killed) and ended <= fault.at <= ended + settling for fault in faults)


def _excused(before: _Run, again: _Run, faults: Iterable[Fault], *, lease: float, settling: float) -> bool:
    """Whether what happened to the run before allows for another one."""
    if before.ended is not None and before.ended.at <= again.started.at and before.ended.how != "ok":
        return True
    held_until = again.started.at
    if before.ended is not None:
        held_until = min(held_until, before.ended.at + settling)
    for fault in faults:
        match fault:
            case Killed(at=at):
                if before.started.at <= at <= held_until:
                    return True
            case FailedOver() if fault.undoes(before.started.at, before.started.at):
                return True  # its claim
            case FailedOver() if before.ended is not None and fault.undoes(before.ended.at, held_until):
                return True  # its settlement
            case Paused(at=at, until=until) | CutOff(at=at, until=until) | FailedOver(at=at, until=until):
                stood_still = min(until, again.started.at) - at
                # Renewed at a third of its time, a lease has at least two thirds left when the pause begins; half allows for
                # a renewal that was late.
                if at <= held_until and before.started.at <= until and stood_still >= lease / 2:
                    return True
    return False
