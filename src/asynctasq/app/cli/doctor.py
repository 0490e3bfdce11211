"""`asynctasq doctor`: whether everything is as it should be, and what to do where it is not."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from asynctasq.app.cli.opening import open_quietly, run, where
from asynctasq.app.cli.output import age, show_json, show_table
from asynctasq.app.cli.queues import known_queues, queues_of_tasks
from asynctasq.domain.errors import ConfigurationError, DriverError
from asynctasq.ports.examination import Examinable, Finding

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.ports.driver import QueueDriver, QueueStats

SKEW = 2.0
"""Seconds that two clocks may differ by without a word."""

SLOW = 0.25
"""Seconds of a round trip that are worth a word: each dispatch waits for one."""

LONG = 300.0
"""Seconds that a ready task has waited when it is likely that no worker serves its queue."""


@click.command()
@where
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.pass_context
def doctor(ctx: click.Context, app: str | None, driver: str | None, *, as_json: bool) -> None:
    """Look at the broker and the settings, and say what to do where something is not as it should be.

    Connects, and looks at versions, the time of a round trip, the clocks, tables, permissions, settings of the broker that may
    lose or hold up tasks, and queues that nobody serves. Changes nothing.

    \b
    asynctasq doctor
    asynctasq doctor --app shop.tasks
    asynctasq doctor --driver redis://queue.internal:6379

    \b
    Exit codes: 0 all is well, 1 something is to be mended, 2 wrong usage or configuration, 3 the broker cannot be
    reached.
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    opened = open_quietly(app)
    findings, status = run(_examined(opened, driver, named=app is not None))
    if as_json:
        show_json([{"subject": each.subject, "said": each.said, "mend": each.mend} for each in findings])
    else:
        rows = [["ok" if not each.mend else "!!", each.subject, each.said, each.mend] for each in findings]
        show_table(["", "SUBJECT", "FOUND", "WHAT TO DO"], rows)
    ctx.exit(status or int(any(each.mend for each in findings)))


async def _examined(app: App, spec: str | None, *, named: bool) -> tuple[list[Finding], int]:
    """What was found, and the exit status if the broker could not be used at all."""
    described = app.drivers.get(spec)
    findings = [
        Finding(subject="asynctasq", said=f"{version('asynctasq')}, on Python {platform.python_version()}"),
        Finding(subject="driver", said=f"{described.location} ({_named_by(app, spec)})"),
        *_tasks(app, named=named),
    ]
    try:
        async with app.driver(spec) as driver:
            findings += await _of_broker(app, driver)
    except (ConfigurationError, DriverError) as error:
        status = 2 if isinstance(error, ConfigurationError) else 3
        findings.append(Finding(subject="connection", said=str(error), mend=_mend_of(error)))
        return findings, status
    return findings, 0


def _named_by(app: App, spec: str | None) -> str:
    return "--driver" if spec else f"driver: {app.sources['driver']}"


def _tasks(app: App, *, named: bool) -> list[Finding]:
    if not len(app.registry) and not named:
        return []  # a look at a broker needs no tasks
    mend = (
        "" if len(app.registry) else "import the modules that decorate them: name another --app, or the setting imports"
    )
    return [Finding(subject="tasks", said=f"{len(app.registry)} are registered", mend=mend)]


async def _of_broker(app: App, driver: QueueDriver) -> list[Finding]:
    try:
        queues = await known_queues(app, driver)
    except ConfigurationError:
        if not isinstance(driver, Examinable):
            raise
        queues = queues_of_tasks(app)  # what is refused is a finding of its examination
    began = time.monotonic()
    stats = await driver.stats(queues)
    took = time.monotonic() - began
    findings = [of_round_trip(took)]
    if not driver.capabilities.durable:
        findings.append(
            Finding(
                subject="durability",
                said="tasks end with the broker's process",
                mend="change the setting that is named below, or name another driver",
            )
        )
    if isinstance(driver, Examinable):
        before = time.time()
        clock = await driver.clock()
        findings.append(of_clocks(clock - (before + time.time()) / 2))
        findings += await driver.examine()
    else:
        findings.append(Finding(subject="broker", said="this driver cannot say how it is set up"))
    return findings + of_queues(stats)


def of_round_trip(seconds: float) -> Finding:
    """What to say of the time that a question takes."""
    mend = "" if seconds < SLOW else "each dispatch waits that long: bring the broker nearer, or see what keeps it busy"
    return Finding(subject="connection", said=f"answers in {seconds * 1_000:.1f} ms", mend=mend)


def of_clocks(ahead: float) -> Finding:
    """What to say of how far the broker's clock is ahead of ours."""
    if abs(ahead) < SKEW:
        return Finding(subject="clocks", said=f"{abs(ahead):.1f} s apart")
    direction = "ahead of" if ahead > 0 else "behind"
    return Finding(
        subject="clocks",
        said=f"the broker's is {abs(ahead):.1f} s {direction} this machine's",
        mend="delays count on the broker's, logs on this one's: let both follow NTP",
    )


def of_queues(stats: Sequence[QueueStats]) -> list[Finding]:
    """What to say of how the queues stand: of those that seem to be served by nobody, and of dead letters."""
    findings: list[Finding] = []
    for queue in stats:
        if queue.oldest_age is not None and queue.oldest_age > LONG:
            said = f"{queue.ready} tasks are ready, the oldest for {age(queue.oldest_age)}"
            mend = f"asynctasq worker --queues {queue.queue}, or more of them"
            findings.append(Finding(subject=f"queue {queue.queue}", said=said, mend=mend))
        if queue.dead:
            said = f"{queue.dead} have failed for good; asynctasq dead list --queue {queue.queue}"
            findings.append(Finding(subject=f"queue {queue.queue}", said=said))
    return findings


def _mend_of(error: ConfigurationError | DriverError) -> str:
    if isinstance(error, ConfigurationError):
        return "as it says; asynctasq config show tells where each setting comes from"
    return "start the broker, or correct its address: asynctasq config show tells where it comes from"
