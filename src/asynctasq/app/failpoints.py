"""Named points between two steps of a task's way, where a test can make a real process stop, sleep or die.

Off unless `ASYNCTASQ_FAILPOINTS` is set when the process starts: `worker.after_run=exit@3;worker.before_settle=sleep:0.5`.
`NAME=ACTION` acts on every hit, `NAME=ACTION@N` on the N-th alone. Actions: `exit` ends the process at once with
status 86, `stop` sends it SIGSTOP, `sleep:SECONDS` blocks the thread. Call sites read `ACTIVE` first, so that an
unset variable costs one attribute look-up.
"""

from __future__ import annotations

import os
import signal
import time

from asynctasq.domain.errors import ConfigurationError

NAMES = frozenset(
    {
        "dispatch.before_enqueue",
        "dispatch.after_enqueue",
        "worker.after_claim",
        "worker.before_run",
        "worker.after_run",
        "worker.before_settle",
        "worker.after_settle",
    }
)

EXIT_STATUS = 86

_hits: dict[str, int] = {}


def parse(text: str) -> dict[str, tuple[str, int | None]]:
    """`NAME=ACTION[@N];...` to `{name: (action, n)}`.

    Raises:
        ConfigurationError: an unknown name or action.
    """
    points: dict[str, tuple[str, int | None]] = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, _, action = entry.partition("=")
        action, _, nth = action.partition("@")
        known_action = action in {"exit", "stop"} or action.removeprefix("sleep:").replace(".", "", 1).isdigit()
        if name not in NAMES or not known_action or (nth and not nth.isdigit()):
            raise ConfigurationError(
                f"ASYNCTASQ_FAILPOINTS: {entry!r} cannot be read: write NAME=exit|stop|sleep:SECONDS[@N] with NAME of "
                f"{', '.join(sorted(NAMES))}"
            )
        points[name] = (action, int(nth) if nth else None)
    return points


ACTIVE = parse(os.environ.get("ASYNCTASQ_FAILPOINTS", ""))


def hit(name: str) -> None:
    """Act if the point is set. Call it behind `if ACTIVE`."""
    if name not in ACTIVE:
        return
    action, nth = ACTIVE[name]
    _hits[name] = _hits.get(name, 0) + 1
    if nth is not None and _hits[name] != nth:
        return
    if action == "exit":
        os._exit(EXIT_STATUS)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        time.sleep(float(action.removeprefix("sleep:")))
