"""Tasks that fail in child processes, which import this module by its name."""

from __future__ import annotations

from asynctasq import Discard, RetryLater, Snooze, current_task, task

HOUR = 3_600.0


class Closed(LookupError):
    """A type of error that only this module knows."""


def fail(secret: str, how: str) -> None:
    attempt = current_task().attempt
    match how:
        case "closed":
            raise Closed(f"failure {attempt}")
        case "retry later":
            raise RetryLater(3 * HOUR, f"busy {attempt}")
        case "snooze":
            raise Snooze(3 * HOUR)
        case "discard":
            raise Discard("obsolete")


@task(process=True)
def fail_in_process(secret: str, how: str) -> None:
    fail(secret, how)


@task(process=True)
async def fail_on_a_childs_loop(secret: str, how: str) -> None:
    fail(secret, how)
