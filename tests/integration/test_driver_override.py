"""Tasks that name a driver of their own go there, are run and retried from there, and change nothing for the others."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from asynctasq.app.bootstrap import App
from asynctasq.app.registry import Registry
from asynctasq.app.settings import load_settings
from asynctasq.app.tasks import task
from asynctasq.domain.errors import DriverUnavailable
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.ports.driver import QueueDriver

JOBS = """
import asyncio, json, os

from asynctasq import current_task
from asynctasq.app import bootstrap
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.tasks import dispatch_many, task

url, prefix = os.environ["ASYNCTASQ_REDIS_URL"], os.environ["ASYNCTASQ_REDIS_KEY_PREFIX"]
elsewhere = url.rpartition("/")[0] + "/1"
first, second = RedisDriver(url, key_prefix=f"{prefix}-first"), RedisDriver(url, key_prefix=f"{prefix}-second")

def fail_at_first(word):
    attempt = current_task().attempt
    os.write(1, f"ran {word} {attempt}\\n".encode())
    if attempt == 1:
        raise LookupError(word)

@task(retry_delay=0)
async def by_default():
    fail_at_first("by_default")

@task(retry_delay=0, driver="redis")
async def by_name():
    fail_at_first("by_name")

@task(retry_delay=0, driver=elsewhere)
async def by_url():
    fail_at_first("by_url")

@task(retry_delay=0, driver=first, queue="reports")
async def by_first():
    fail_at_first("by_first")

@task(retry_delay=0, driver=second)
async def by_second():
    fail_at_first("by_second")

async def dispatch():
    await dispatch_many([by_second(), by_name(), by_default(), by_first(), by_url()])
    await by_default().dispatch()

async def count():
    app, counts = bootstrap.current(), {}
    for name, driver in {"default": None, "name": "redis", "url": elsewhere, "first": first, "second": second}.items():
        async with app.driver(driver) as connected:
            stats = await connected.stats(["default", "reports"])
            counts[name] = [each.ready + each.delayed + each.leased + each.dead for each in stats]
    print(json.dumps(counts))
"""

pytestmark = pytest.mark.timeout(90)


@dataclass(slots=True)
class Project:
    """A folder with tasks of several drivers, and the commands that are typed there."""

    folder: Path
    environ: dict[str, str]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def dispatch(self) -> None:
        self.run("-c", "import asyncio, jobs; asyncio.run(jobs.dispatch())")

    def waiting(self) -> dict[str, list[int]]:
        """How many messages each driver has, in the queues default and reports."""
        counts: dict[str, list[int]] = json.loads(self.run("-c", "import asyncio, jobs; asyncio.run(jobs.count())"))
        return counts

    def work(self, *options: str) -> list[str]:
        """What a worker runs until it finds nothing any more."""
        said = self.run("-m", "asynctasq", "worker", "jobs", "--burst", *options)
        return sorted(line.removeprefix("ran ") for line in said.splitlines() if line.startswith("ran "))


@pytest.fixture
def project(redis_url: str, tmp_path: Path) -> Project:
    (tmp_path / "jobs.py").write_text(JOBS)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
    return Project(
        tmp_path,
        {
            **ours,
            "ASYNCTASQ_DRIVER": "sqlite",
            "ASYNCTASQ_SQLITE_PATH": str(tmp_path / "queue.db"),
            "ASYNCTASQ_REDIS_URL": redis_url,
            "ASYNCTASQ_REDIS_KEY_PREFIX": f"test-{uuid4().hex[:12]}",
        },
    )


def test_each_task_goes_to_its_driver_and_is_run_and_retried_there_by_the_worker_of_that_driver(
    project: Project, redis_url: str
) -> None:
    project.dispatch()
    waiting = {"default": [2, 0], "name": [1, 0], "url": [1, 0], "first": [0, 1], "second": [1, 0]}
    assert project.waiting() == waiting

    for driver, options, ran in (
        ("first", ["--driver", "jobs:first"], ["by_first 1", "by_first 2"]),
        ("second", ["--driver", "jobs:second"], ["by_second 1", "by_second 2"]),
        ("name", ["--driver", "redis"], ["by_name 1", "by_name 2"]),
        ("url", ["--driver", f"{redis_url.rpartition('/')[0]}/1"], ["by_url 1", "by_url 2"]),
        ("default", [], ["by_default 1", "by_default 1", "by_default 2", "by_default 2"]),
    ):
        assert project.work(*options) == ran
        waiting[driver] = [0, 0]
        assert project.waiting() == waiting


@task
async def ordinary() -> None: ...


def the_app(tmp_path: Path, *functions: object) -> App:
    registry = Registry()
    for function in functions:
        registry.add(function)  # type: ignore[arg-type]
    return App(load_settings(f"sqlite:///{tmp_path}/queue.db", environ={}), registry=registry)


async def ready(driver: QueueDriver) -> int:
    sibling = driver.sibling()
    await sibling.connect()
    (stats,) = await sibling.stats(["default"])
    await sibling.close()
    return stats.ready


def test_a_description_that_tasks_name_is_never_connected_itself_and_serves_several_loops(
    redis_url: str, tmp_path: Path
) -> None:
    description = RedisDriver(redis_url, key_prefix=f"test-{uuid4().hex[:12]}")

    @task(driver=description)
    async def special() -> None: ...

    app = the_app(tmp_path, ordinary, special)
    default = app.drivers.get()

    async def dispatch() -> None:
        await asyncio.gather(app.dispatch(special()), app.dispatch(ordinary()))

    async def count() -> list[int]:
        return [await ready(description), await ready(default)]

    for _ in range(2):
        asyncio.run(dispatch())
    app.dispatch_sync(special())
    app.container.sync_bridge().close()  # which else it does when the process ends
    assert asyncio.run(count()) == [3, 2]
    assert description._connected is None
    assert app.drivers.get() is default
    assert app.settings.driver == "sqlite"


@pytest.mark.asyncio
async def test_a_driver_that_is_away_fails_its_own_tasks_and_no_others(tmp_path: Path) -> None:
    away = RedisDriver("redis://127.0.0.1:1")

    @task(driver=away)
    async def special() -> None: ...

    app = the_app(tmp_path, ordinary, special)
    outcomes = await asyncio.gather(
        app.dispatch(special()), *(app.dispatch(ordinary()) for _ in range(3)), return_exceptions=True
    )
    assert isinstance(outcomes[0], DriverUnavailable)
    assert all(isinstance(each, str) for each in outcomes[1:])
    assert await ready(app.drivers.get()) == 3
    await app.close()
