"""asynctasq 1.7.0 from the index: an earlier, other implementation. Acknowledges after the run."""

from __future__ import annotations

import os
import sys

import uvloop
import work

from asynctasq import MySQLConfig, RedisConfig, init, task

DRIVER = "mysql" if work.URL.startswith("mysql:") else "redis"
init(
    {"driver": "mysql", "mysql": MySQLConfig(dsn=work.URL)}
    if DRIVER == "mysql"
    else {"driver": "redis", "redis": RedisConfig(url=work.URL)}
)


@task
async def noop() -> None:
    work.noop()


@task
def noop_sync() -> None:
    work.noop()


@task
async def ping(sent: float) -> None:
    work.pong(sent)


async def main(command: str, *arguments: str) -> None:
    if DRIVER == "mysql":  # what its `asynctasq migrate` does
        from asynctasq.drivers.mysql_driver import MySQLDriver

        driver = MySQLDriver(dsn=work.URL)
        await driver.init_schema()
        await driver.disconnect()
        # Its first dispatches at once would open a pool each, and be refused; no worker serves this queue.
        await this.noop().on_queue("first").dispatch()
    if command == "pings":
        await work.pings(int(arguments[0]), lambda sent: this.ping(sent).dispatch())
    else:
        way, n, kind = arguments
        call = this.noop_sync if kind == "sync" else this.noop
        await work.dispatch(way, int(n), lambda: call().dispatch())


if __name__ == "__main__":
    if work.asked()[0] == "worker":
        place = ["--mysql-dsn" if DRIVER == "mysql" else "--redis-url", work.URL]
        options = ["--driver", DRIVER, *place, "--concurrency", str(work.CLAIMED)]
        os.execv(sys.executable, [sys.executable, "-m", "asynctasq", "worker", *options])
    import with_asynctasq_1_7 as this  # its worker imports a task by its module, which must not be __main__

    uvloop.run(main(*work.asked()))
