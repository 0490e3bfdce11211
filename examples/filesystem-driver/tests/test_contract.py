"""The driver keeps every promise of the contract that it declares, and refuses the others as it should."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio

from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.stateful import against_the_model
from asynctasq_filesystem import FilesystemDriver
from asynctasq_filesystem.folder import QueueFolder


class FolderHarness(Harness):
    """An hour passes by moving every time that a file's name carries back by an hour."""

    unit = 3600.0

    def __init__(self, path: Path) -> None:
        self._queues = path / "queues"

    async def age(self, seconds: float) -> None:
        for queue in self._queues.iterdir():
            QueueFolder(queue, fsync=False).age(seconds)


@contextmanager
def broker() -> Generator[tuple[FilesystemDriver, FolderHarness]]:
    with TemporaryDirectory() as folder:
        yield FilesystemDriver(folder, fsync=False), FolderHarness(Path(folder))


TestFilesystemDriverAgainstTheModel = against_the_model(broker)


class TestFilesystemDriver(DriverContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> FolderHarness:
        return FolderHarness(tmp_path)

    @pytest_asyncio.fixture
    async def driver(self, tmp_path: Path) -> AsyncGenerator[FilesystemDriver]:
        driver = FilesystemDriver(tmp_path)
        await driver.connect()
        yield driver
        await driver.close()
