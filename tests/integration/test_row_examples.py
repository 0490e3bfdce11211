"""The example apps of the ORMs, run as their users run them: a web handler dispatches a row, a worker sends the mail.

And tasks of all four modes beside them, which are given the same rows.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from asynctasq.drivers.sqlite_driver import SQLiteDriver
from asynctasq.ports.driver import DeadMessage

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 100.0
"""Seconds for one process to do its part: it takes one, and many on a machine that does much else."""

pytestmark = pytest.mark.timeout(4 * PATIENCE)

MODES = """
from pathlib import Path
from asynctasq.tasks import task
from {tasks} import *
from {models} import User

def write(name, user):
    Path(f"{{name}}.txt").write_text("nobody" if user is None else user.name)

@task
async def on_the_loop(users: list[User]):
    write("on_the_loop", users[0])

@task
def in_a_thread(user: User):
    write("in_a_thread", user)

@task(process=True)
async def on_a_childs_loop(user: User, again: User):
    assert user is again
    write("on_a_childs_loop", user)

@task(process=True)
def in_a_child(user: User):
    write("in_a_child", user)

@task(process=True)
def of_nobody(user: User):
    write("of_nobody", user)

@task(process=True, on_missing="none")
async def perhaps_of_somebody(user: User | None):
    write("perhaps_of_somebody", user)

@task(process=True, on_missing="discard")
def dropped(user: User):
    write("dropped", user)
"""

DISPATCH = {
    "sqlalchemy": """
import asyncio
from modes import *
from shop import sessions, engine
from sqlalchemy import select

async def main():
    async with sessions() as session:
        ada = (await session.scalars(select(User).where(User.email == "ada@example.com"))).one()
        gone = User(email="gone@example.com", name="gone")
        session.add(gone)
        await session.commit()
        await dispatch(ada, gone)
        await session.delete(gone)
        await session.commit()
        ada.name = "Countess"
        await session.commit()
    await engine.dispose()
""",
    "django": """
import asyncio, django
django.setup()
from modes import *

async def main():
    ada = await User.objects.aget(email="ada@example.com")
    gone = await User.objects.acreate(email="gone@example.com", name="gone")
    await dispatch(ada, gone)
    await gone.adelete()
    ada.name = "Countess"
    await ada.asave()
""",
    "tortoise": """
import asyncio
from modes import *
from shop import DATABASE
from tortoise import Tortoise

async def main():
    await Tortoise.init(**DATABASE)
    ada = await User.get(email="ada@example.com")
    gone = await User.create(email="gone@example.com", name="gone")
    await dispatch(ada, gone)
    await gone.delete()
    ada.name = "Countess"
    await ada.save()
    await Tortoise.close_connections()
""",
}

RUN = """
async def dispatch(ada, gone):
    await on_the_loop([ada]).dispatch()
    for each in (in_a_thread, in_a_child):
        await each(ada).dispatch()
    await on_a_childs_loop(ada, again=ada).dispatch()
    for each in (of_nobody, perhaps_of_somebody, dropped):
        await each(gone).dispatch()

asyncio.run(main())
"""


@dataclass
class Shop:
    """A copy of one of the examples, and its web server."""

    orm: str
    folder: Path
    url: str = ""

    @property
    def tasks(self) -> str:
        return "shop.tasks" if self.orm == "django" else "shop"

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "DJANGO_SETTINGS_MODULE": "settings" if self.orm == "django" else ""}

    def python(self, *words: str) -> str:
        ran = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def ask(self, method: str, path: str, body: str = "") -> str:
        request = urllib.request.Request(f"{self.url}{path}", body.encode(), method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    def dead(self) -> list[DeadMessage]:
        async def read() -> list[DeadMessage]:
            driver = SQLiteDriver(self.folder / "queue.db")
            await driver.connect()
            try:
                return list(await driver.list_dead("default", limit=10))
            finally:
                await driver.close()

        return asyncio.run(read())


@pytest.fixture(params=["sqlalchemy", "django", "tortoise"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Shop]:
    shop = Shop(request.param, tmp_path / "app")
    shutil.copytree(EXAMPLES / f"{request.param}-rows", shop.folder)
    serving = [sys.executable, "web.py", "0"]
    with subprocess.Popen(serving, cwd=shop.folder, env=shop.environ, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        shop.url = server.stdout.readline().strip()
        try:
            assert shop.url.startswith("http://")
            yield shop
        finally:
            server.kill()


def test_a_row_that_a_web_handler_dispatched_is_read_by_a_worker_when_it_sends_the_mail(shop: Shop) -> None:
    shop.ask("PUT", "/users/ada@example.com", "Ada")
    assert len(shop.ask("POST", "/users/ada@example.com/welcome")) == 36
    shop.ask("PUT", "/users/ada@example.com", "Countess Ada")
    shop.python("-m", "asynctasq", "worker", shop.tasks, "--queues", "emails", "--burst")
    assert (shop.folder / "outbox" / "ada@example.com.txt").read_text() == "Welcome, Countess Ada!\n"


def test_tasks_of_every_mode_are_given_rows(shop: Shop) -> None:
    shop.ask("PUT", "/users/ada@example.com", "Ada")
    models = "shop.models" if shop.orm == "django" else "shop"
    (shop.folder / "modes.py").write_text(MODES.format(tasks=shop.tasks, models=models))
    (shop.folder / "dispatch.py").write_text(DISPATCH[shop.orm] + RUN)
    shop.python("dispatch.py")
    shop.python("-m", "asynctasq", "worker", "modes", "--queues", "default", "--burst")
    written = {file.stem: file.read_text() for file in shop.folder.glob("*.txt")}
    modes = ["on_the_loop", "in_a_thread", "on_a_childs_loop", "in_a_child"]
    assert written == {**dict.fromkeys(modes, "Countess"), "perhaps_of_somebody": "nobody"}
    (dead,) = shop.dead()
    assert dead.reason == "a row among its arguments is gone"
    assert "no longer in the database: " in dead.error
    assert b"modes:of_nobody" in dead.body
    assert b"gone" not in dead.body
