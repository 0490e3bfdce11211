"""The guide's front door on the embedded driver: init in all its forms, loops of all kinds, dispatch from everywhere."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import uvloop

import asynctasq
from asynctasq.app import bootstrap
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.drivers.sqlite_driver import SQLiteDriver
from asynctasq.errors import AsyncTasQError, ConfigurationError, PayloadTooLarge, SerializationError, UnknownDriver
from asynctasq.ports.driver import QueueDriver
from asynctasq.tasks import dispatch_many, task
from asynctasq.utils.loop import run


@task
async def send(message: object = None) -> None: ...


@task(queue="reports")
def report(number: int) -> None: ...


@pytest.fixture(autouse=True)
def _no_app_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "_current", None)
    monkeypatch.chdir(tmp_path)


async def waiting(driver: QueueDriver, queue: str = "default") -> int:
    (stats,) = await driver.stats([queue])
    return stats.ready + stats.delayed


async def ready_now(queue: str = "default") -> int:
    async with bootstrap.current().driver() as driver:
        return await waiting(driver, queue)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run, run])
def test_a_program_may_run_loops_of_any_kind_one_after_the_other(runner: object, tmp_path: Path) -> None:
    asynctasq.init({"driver": "sqlite", "sqlite": {"path": str(tmp_path / "q.db")}})

    async def main() -> str:
        return await send("hello").dispatch()

    ids = [runner(main()), runner(main()), asyncio.run(main()), uvloop.run(main())]  # type: ignore[operator]
    assert len(set(ids)) == 4
    assert all(len(each) == 36 for each in ids)
    assert asyncio.run(ready_now()) == 4


def test_a_relative_url_counts_from_the_working_directory_and_an_absolute_one_from_the_root(tmp_path: Path) -> None:
    assert bootstrap.init("sqlite:///here/q.db").drivers.get().location == str(tmp_path / "here" / "q.db")
    assert bootstrap.init(f"sqlite:///{tmp_path}/q.db").drivers.get().location == str(tmp_path / "q.db")


def test_without_anything_tasks_go_to_sqlite_in_its_default_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    below = project / "src" / "app"
    below.mkdir(parents=True)
    (project / "pyproject.toml").touch()
    monkeypatch.chdir(below)
    asynctasq.init()

    async def main() -> None:
        await send().dispatch()

    asyncio.run(main())
    assert (project / ".asynctasq" / "queue.db").stat().st_mode & 0o777 == 0o600
    assert (project / ".asynctasq").stat().st_mode & 0o777 == 0o700


def test_dispatching_without_init_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCTASQ_SQLITE_PATH", str(tmp_path / "env.db"))

    async def main() -> int:
        await send().dispatch()
        return await ready_now()

    assert asyncio.run(main()) == 1
    assert (tmp_path / "env.db").exists()


def test_a_wrong_key_is_refused_at_once_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError, match="driver"):
        asynctasq.init({"drivr": "sqlite"})
    with pytest.raises(UnknownDriver, match="did you mean 'mysql'"):
        asynctasq.init({"driver": "mysqll"})


def test_the_chain_reaches_the_broker_in_any_order() -> None:
    async def main() -> None:
        asynctasq.init("memory://")
        await send(1).on_queue("a").delay(60).retry_after(5).dispatch()
        await send(2).retry_after(5).delay(60).on_queue("a").dispatch()
        await report(3).dispatch()
        async with bootstrap.current().driver() as driver:
            a, reports = await driver.stats(["a", "reports"])
            assert (a.ready, a.delayed, reports.ready) == (0, 2, 1)

    asyncio.run(main())


def test_a_gather_of_a_thousand_dispatches_works(tmp_path: Path) -> None:
    async def main() -> None:
        asynctasq.init(f"sqlite:///{tmp_path}/q.db")
        ids = await asyncio.gather(*(send(n).dispatch() for n in range(1_000)))
        assert len(set(ids)) == 1_000
        assert await ready_now() == 1_000

    uvloop.run(main())


def test_dispatch_many_answers_in_order_across_queues_and_drivers() -> None:
    other = MemoryDriver()

    @task(driver=other, queue="elsewhere")
    async def elsewhere() -> None: ...

    async def main() -> None:
        asynctasq.init("memory://")
        ids = await dispatch_many([send(1), report(2), elsewhere(), send(3)])
        assert len(set(ids)) == 4
        async with bootstrap.current().driver() as driver:
            default, reports, none = await driver.stats(["default", "reports", "elsewhere"])
            assert (default.ready, reports.ready, none.ready) == (2, 1, 0)
        async with bootstrap.current().driver(other) as driver:
            assert await waiting(driver, "elsewhere") == 1
            (claim,) = await driver.claim(["elsewhere"], limit=1, lease=9, wait=0, worker="w")
            assert claim.message.id == ids[2]

    asyncio.run(main())


def test_a_bad_call_among_many_leaves_none_queued() -> None:
    async def main() -> None:
        asynctasq.init("memory://")
        with pytest.raises(SerializationError, match="argument 'message'"):
            await dispatch_many([send(1), send(lambda: None), send(3)])
        assert await ready_now() == 0

    asyncio.run(main())


def test_an_instance_as_driver_is_used_as_it_was_configured(tmp_path: Path) -> None:
    mine = SQLiteDriver(tmp_path / "mine.db", synchronous="normal")

    @task(driver=mine)
    async def to_mine() -> None: ...

    async def main(run: int) -> None:
        asynctasq.init("memory://")
        await to_mine().dispatch()
        await send().dispatch()
        assert await ready_now() == 1
        async with bootstrap.current().driver(mine) as driver:
            assert await waiting(driver) == run

    asyncio.run(main(1))
    asyncio.run(main(2))


def test_dispatch_sync_works_without_a_loop_and_refuses_to_block_one(tmp_path: Path) -> None:
    asynctasq.init(f"sqlite:///{tmp_path}/q.db")
    ids = [send(n).dispatch_sync() for n in range(3)]
    assert len(set(ids)) == 3

    async def main() -> None:
        with pytest.raises(AsyncTasQError, match=r"type `await send\(...\).dispatch\(\)`"):
            send().dispatch_sync()

    asyncio.run(main())
    assert asyncio.run(ready_now()) == 3


@pytest.mark.parametrize("unserializable", [lambda: None, sys.stdout, object(), (n for n in ())])
def test_an_argument_that_cannot_travel_is_named_at_dispatch_and_nothing_is_queued(unserializable: object) -> None:
    async def main() -> None:
        asynctasq.init("memory://")
        with pytest.raises(SerializationError, match=r"argument 'message' of task '.*:send'"):
            await send(unserializable).dispatch()
        assert await ready_now() == 0

    asyncio.run(main())


def test_a_payload_over_the_limit_is_refused_with_both_sizes() -> None:
    async def main() -> None:
        asynctasq.init({"driver": "memory", "limits": {"body": 1_000}})
        with pytest.raises(PayloadTooLarge, match="over the limit of 1,000"):
            await send(b"x" * 1_000).dispatch()
        assert await ready_now() == 0

    asyncio.run(main())


def test_two_apps_in_one_process_do_not_mix(tmp_path: Path) -> None:
    async def main() -> None:
        first = asynctasq.init("memory://")
        second = asynctasq.init("memory://")
        await first.dispatch(send(1))
        await first.dispatch(send(2))
        await second.dispatch(send(3))
        counts = []
        for app in (first, second):
            async with app.driver() as driver:
                counts.append(await waiting(driver))
        assert counts == [2, 1]

    asyncio.run(main())


def test_a_forked_child_dispatches_on_connections_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "forker.py"
    script.write_text(
        textwrap.dedent("""
            import os, sys, asynctasq
            from asynctasq.tasks import task
            asynctasq.init("sqlite:///forked.db")
            @task
            def work(n: int) -> None: ...
            work(1).dispatch_sync()
            child = os.fork()
            work(2).dispatch_sync()
            if child == 0:
                os._exit(0)
            _, status = os.waitpid(child, 0)
            work(3).dispatch_sync()
            sys.exit(os.waitstatus_to_exitcode(status))
        """)
    )
    subprocess.run([sys.executable, "-W", "error", str(script)], check=True, timeout=30, env={**os.environ})
    asynctasq.init("sqlite:///forked.db")
    assert asyncio.run(ready_now()) == 4


def test_a_program_that_never_closes_anything_ends_quietly(tmp_path: Path) -> None:
    script = tmp_path / "forgetful.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio, asynctasq
            from asynctasq.tasks import task
            asynctasq.init("sqlite:///q.db")
            @task
            async def work() -> None: ...
            async def main():
                await work().dispatch()
            asyncio.run(main())
            work().dispatch_sync()
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
        """)
    )
    ended = subprocess.run(
        [sys.executable, "-X", "dev", str(script)], check=True, timeout=30, capture_output=True, text=True
    )
    assert "asynctasq" not in ended.stderr
