"""Tasks that go elsewhere than the rest: to a driver by its name, or to one that is built here as it is needed."""

import os
from typing import Any

import asynctasq
from asynctasq.drivers.redis_driver import RedisDriver
from asynctasq.tasks import task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": "redis"})

guarded = RedisDriver(url=os.environ["GUIDE_GUARDED_URL"], password="secret", db=1, max_connections=20)


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="critical", driver="redis")
async def by_name(data: dict[str, Any]) -> None:
    say(f"by name {data}")


@task(queue="rows", driver="postgres")
async def in_postgres(data: str) -> None:
    say(f"in postgres {data}")


@task(queue="cloud", driver="sqs")
async def in_sqs(region: str) -> None:
    say(f"in sqs {region}")


@task(queue="custom", driver=guarded)
async def in_guarded(data: dict[str, Any]) -> None:
    say(f"guarded {data}")


@task(queue="custom", driver=guarded)
async def in_guarded_too() -> None:
    say("guarded too")


@task(queue="twice", driver="redis")
async def twice(data: str) -> None:
    say(f"the first {data}")


@task(queue="normal")  # type: ignore[no-redef]  # what the test wants to see: the later one counts
async def twice(data: str) -> None:  # noqa: F811
    say(f"the second {data}")


async def main() -> None:
    await by_name(data={"key": "value"}).dispatch()
    await in_postgres(data="a row").dispatch()
    await in_sqs(region="north").dispatch()
    await in_guarded(data={"key": "value"}).dispatch()
    await in_guarded_too().dispatch()
    await twice(data="of two").dispatch()


if __name__ == "__main__":
    uv_run(main())
