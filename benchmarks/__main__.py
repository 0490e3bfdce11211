"""asynctasq beside its peers and the bare clients, in one run: a table, the verdict on each target, JSON and a plot."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from benchmarks import measure, modes, plot, report
from benchmarks.brokers import Measured, started
from benchmarks.environments import ROOT, Unavailable, python_of, version
from benchmarks.peers import HERE, PEERS, Broker, Peer

RESULTS = ROOT / "benchmarks" / "results"
BROKERS: tuple[Broker, ...] = ("sqlite", "redis", "postgres", "mysql")


def main() -> None:
    if sys.argv[1:2] == ["rows"]:
        from benchmarks import rows

        rows.main(sys.argv[2:])
        return
    given = _arguments()
    place = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    run: dict[str, object] = {"machine": f"{place}, {given.python or version()}"}
    for broker in given.brokers:
        peers = [peer for peer in PEERS if broker in peer.brokers and (not given.peers or peer.name in given.peers)]
        try:
            with started(broker) as place:
                run[broker] = measured(place, peers, given)
        except Unavailable as why:
            run[broker] = {"reason": str(why)}
        report.show(broker, run[broker])
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(run, indent=1))
    given.json.with_suffix(".svg").write_text(plot.drawn(run))
    print(f"written: {given.json.name} and {given.json.with_suffix('.svg').name} in {given.json.parent.name}/")


def measured(place: Measured, peers: list[Peer], given: argparse.Namespace) -> dict[str, object]:
    """Every peer's figures of every round, and why one that could not run could not."""
    samples: dict[str, list[dict[str, float]]] = defaultdict(list)
    failures: dict[str, list[str]] = defaultdict(list)
    pythons: dict[str, str] = {}
    for peer in peers:
        try:
            pythons[peer.name] = given.python or python_of(peer)
        except Unavailable as why:
            failures[peer.name].append(str(why))
    for _ in range(given.rounds):
        for peer in peers:
            if peer.name in pythons:
                figures, reasons = _round(measure.Bench(peer, pythons[peer.name], place), given)
                samples[peer.name].append(figures)
                failures[peer.name] += reasons
    return {"setting": place.setting, "samples": samples, "failures": {k: v for k, v in failures.items() if v}}


def _round(bench: measure.Bench, given: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    figures: dict[str, float] = {}
    reasons: list[str] = []
    steps: list[tuple[str, Callable[[], dict[str, float]]]] = []
    peer = bench.peer
    # What is measured is to take a while: a peer that does few a second gets fewer.
    is_fast = peer.bare or peer.name in (HERE, "pgqueuer")
    for way in sorted(peer.ways):
        count = given.n if is_fast and way != "single" else given.n // 4
        steps.append((f"enqueue {way}", lambda way=way, count=count: measure.enqueue(bench, way, count)))
    for kind in sorted(peer.kinds):
        count = given.n if is_fast else given.n // 5
        steps.append((f"drain {kind}", lambda kind=kind, count=count: measure.drain(bench, kind, count)))
    if not peer.bare:
        steps.append(("latency", lambda: measure.latency(bench, given.pings, given.idle)))
    if peer.name == HERE:
        steps += [("import", lambda: measure.imports(bench)), ("codec", lambda: measure.codec(bench))]
    for what, step in steps:
        begin = time.monotonic()
        try:
            figures |= step()
        except (Unavailable, subprocess.SubprocessError) as why:
            reasons.append(f"{what}: {why}")
        print(f"{peer.name}: {what}, {time.monotonic() - begin:.1f} s", flush=True)
    return figures, reasons


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "brokers", nargs="*", default=BROKERS, metavar="BROKER", help="sqlite, redis, postgres, mysql (all)"
    )
    parser.add_argument("--peers", nargs="+", default=(), choices=[peer.name for peer in PEERS], help="only these")
    parser.add_argument("-n", type=int, default=20_000, help="tasks per drain; slow peers get a fifth")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pings", type=int, default=200)
    parser.add_argument("--idle", type=float, default=10, help="seconds for which an idle worker is watched")
    parser.add_argument("--json", type=Path, default=RESULTS / "run.json")
    parser.add_argument(
        "--python", help="an interpreter that has all that is measured, instead of environments of its own"
    )
    given = parser.parse_args()
    for broker in given.brokers:
        if broker not in BROKERS:
            parser.error(f"unknown broker {broker!r}: {', '.join(BROKERS)}")
    return given


if __name__ == "__main__":
    if sys.argv[1:2] == ["modes"]:
        modes.main(sys.argv[2:])
    else:
        main()
