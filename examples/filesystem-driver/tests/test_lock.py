"""A process that is stopped while it holds a queue's lock holds up that queue, says who waits, and no other queue."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asynctasq.errors import DriverUnavailable
from asynctasq.ports import ACK, EnqueueStatus, Message, Settlement, SettleStatus
from asynctasq_filesystem import FilesystemDriver, folder


@contextmanager
def stopped_in_the_middle(queue: Path) -> Generator[None]:
    """The lock as another process would hold it."""
    descriptor = os.open(queue / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def message(queue: str, id: str) -> Message:
    return Message(id=id, queue=queue, body=b"")


@pytest.mark.asyncio
async def test_a_queue_that_is_locked_fails_alone_in_time_and_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "LOCK_PATIENCE", 0.2)
    driver = FilesystemDriver(tmp_path)
    await driver.connect()
    await driver.enqueue([message("stuck", "1"), message("free", "2")])
    stuck, free = await driver.claim(["stuck", "free"], limit=2, lease=60, wait=0, worker="w")
    with stopped_in_the_middle(tmp_path / "queues" / "stuck"):
        with pytest.raises(DriverUnavailable, match=r"locked for 0\.2 s: is a process that uses it stopped"):
            await driver.enqueue([message("stuck", "3")])
        enqueued = await driver.enqueue([message("stuck", "3"), message("free", "4")])
        settled = await driver.settle([Settlement(claim=each, verdict=ACK) for each in (stuck, free)])
        (claim,) = await driver.claim(["free", "stuck"], limit=9, lease=60, wait=0, worker="w")
    assert [answer.status for answer in enqueued] == [EnqueueStatus.FAILED, EnqueueStatus.CREATED]
    assert [answer.status for answer in settled] == [SettleStatus.FAILED, SettleStatus.DONE]
    assert {type(answer.error) for answer in (enqueued[0], settled[0])} == {DriverUnavailable}
    assert claim.message.id == "4"
    assert [each.status for each in await driver.settle([Settlement(claim=stuck, verdict=ACK)])] == [SettleStatus.DONE]
    (stats,) = await driver.stats(["stuck"])
    await driver.close()
    assert (stats.ready, stats.leased) == (0, 0)
