"""A copy of a driver before some of the contract's promises."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.contract.drivers.test_mysql import MySQLHarness
from tests.contract.drivers.test_postgres import PostgresHarness
from tests.contract.drivers.test_redis import RedisHarness
from tests.contract.drivers.test_sqlite import SQLiteHarness
from tests.contract.drivers.test_sqs import SQSHarness
from tests.contract.seeded_bugs import Edit, copy_of, forget
from tests.services import sqs

from asynctasq.testing.contract import driver as contract
from asynctasq.testing.contract.driver import DriverContract, Harness
from asynctasq.testing.contract.driver.steps import new_queue
from asynctasq.testing.memory import MemoryHarness


class Trial:
    """Puts copies of drivers before promises, on the real brokers.

    Args:
        folder: for the copies, and for files of theirs.
        service: gives the address of a broker, by the name of its fixture.
        patience: seconds after which a promise that has not been kept will not be: a driver with a bug may wait for ever.
    """

    def __init__(self, folder: Path, service: Callable[[str], str], *, patience: float) -> None:
        self._folder = folder
        self._service = service
        self._patience = patience

    async def failures(self, driver: str, promises: Sequence[str], *, edits: Sequence[Edit] = ()) -> list[str]:
        """The promises that a copy with these edits breaks."""
        copy = copy_of(driver, self._folder, edits)
        try:
            return [promise for promise in promises if await self._breaks(driver, copy, promise)]
        finally:
            forget(copy)

    async def _breaks(self, driver: str, copy: Any, promise: str) -> bool:
        suite = DriverContract()
        test = getattr(suite, promise)
        wanted = inspect.signature(test).parameters
        for arguments in _parameters(test):
            async with self._opened(driver, copy) as (subject, harness):
                if suite.inapplicable(promise, subject) is not None:
                    return False
                given = {"driver": subject, "harness": harness, "queue": new_queue(), **arguments}
                try:
                    async with asyncio.timeout(self._patience):
                        await test(**{name: value for name, value in given.items() if name in wanted})
                except pytest.skip.Exception:
                    return False
                except (Exception, pytest.fail.Exception):
                    return True
        return False

    @asynccontextmanager
    async def _opened(self, name: str, copy: Any) -> AsyncGenerator[tuple[Any, Harness]]:
        """A connected driver of a copy, and its harness."""
        harness: Any
        match name:
            case "memory":
                harness = MemoryHarness()
                driver = copy(clock=harness.clock)
            case "sqlite":
                harness = SQLiteHarness()
                driver = harness.driver = copy(self._folder / f"{uuid4().hex}.db")
            case "redis":
                harness = RedisHarness(self._service("redis_url"))
                driver = copy(harness.url, key_prefix=harness.prefix)
            case "postgres":
                harness = PostgresHarness(self._service("postgres_url"), f"seeded_{uuid4().hex[:12]}")
                driver = copy(harness.url, schema=harness.schema)
                await driver.install()
            case "mysql":
                harness = MySQLHarness(self._service("mysql_url"), f"seeded_{uuid4().hex[:12]}_")
                driver = copy(harness.url, table_prefix=harness.prefix)
                await driver.install()
            case _:
                harness = SQSHarness(self._service("moto_url"))
                driver = sqs.driver(harness.url, kind=copy, hop=int(harness.unit))
        await driver.connect()
        try:
            yield driver, harness
        finally:
            await driver.close()
            await asyncio.sleep(0)  # what is closing says so


def be_hasty(patch: pytest.MonkeyPatch) -> None:
    """Less patience: what a driver with a bug fails to do will not be done later either."""
    for info in pkgutil.iter_modules(contract.__path__, contract.__name__ + "."):
        module = importlib.import_module(info.name)
        for name, seconds in {"PROMPT": 1.5, "WAIT": 2.5}.items():
            if hasattr(module, name):
                patch.setattr(module, name, seconds)


def _parameters(test: Any) -> Iterator[dict[str, object]]:
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    for values in product(*(mark.args[1] for mark in marks)):
        yield dict(zip((mark.args[0] for mark in marks), values, strict=True))
