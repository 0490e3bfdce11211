"""The likely mistakes, made on purpose: `python -m tests.docs.mistakes` makes them and writes docs/mistakes.md.

Each is a folder of files and a command; the page shows both and what was printed. Ids, times and paths are replaced, so that the
page is the same on every machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from tests.docs.blocks import ROOT
from tests.services import postgres
from tests.services.postgres import url as postgres_place

PAGE = ROOT / "docs" / "mistakes.md"
HERE = "/srv/shop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake.

    Attributes:
        title: what it is.
        why: what one should know of it, in Markdown.
        file: the program, `shop.py`.
        commands: what is typed.
        environ: of these commands.
        hidden: code put before the program and not shown.
        shows: only lines of the log that hold this; None for everything.
    """

    title: str
    why: str
    file: str = ""
    commands: tuple[str, ...] = ("python shop.py",)
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    hidden: str = ""
    shows: str | None = None


def made(postgres_url: str) -> list[Mistake]:
    """All of them, in the order of the page."""
    sending = """
        from asynctasq import task
        from asynctasq.utils.loop import run


        @task
        async def send(to: str) -> None: ...
    """

    def calling(call: str) -> str:
        return f'{dedent(sending)}\n\nasync def main() -> None:\n    {call}\n\n\nif __name__ == "__main__":\n    run(main())\n'

    return [
        Mistake(
            title="No worker runs",
            why="Dispatching works, and nothing happens. Tasks are kept until a worker serves their queue; READY and OLDEST grow "
            "meanwhile.",
            file=calling('print(await send("ada").dispatch())'),
            commands=("python shop.py", "asynctasq stats"),
        ),
        Mistake(
            title="The call was never dispatched",
            why="`send(...)` binds the arguments and runs nothing, as a coroutine that is never awaited.",
            file=calling('send("ada")'),
        ),
        Mistake(
            title="The call was awaited",
            why="It is `dispatch()` that is awaited.",
            file=calling('await send("ada")'),
        ),
        Mistake(
            title="Celery's spelling",
            why="`.delay(seconds)` belongs to a call, not to the task.",
            file=calling('await send.delay("ada")'),
        ),
        Mistake(
            title="Wrong arguments",
            why="They fail where the call is written, not in the worker. Type checkers see them sooner.",
            file=calling('await send(too="ada").dispatch()'),
        ),
        Mistake(
            title="An argument that cannot travel",
            why="What would not arrive as it is, is refused at dispatch. [What travels](payload.md).",
            file=calling("await send(open(__file__)).dispatch()"),
        ),
        Mistake(
            title="Too large",
            why="Put it into a file or a store, and dispatch its name. The limit is `limits.body`.",
            file=calling('await send("ada" * 100_000).dispatch()'),
        ),
        Mistake(
            title="dispatch_sync() where a loop runs",
            why="It would block the loop, and with it everything else.",
            file=calling('send("ada").dispatch_sync()'),
        ),
        Mistake(
            title="A queue's name that no broker carries",
            why="The grammar is the same for all drivers, so that you can change yours.",
            file=calling('await send("ada").on_queue("mail:high").dispatch()'),
        ),
        Mistake(
            title="A misspelt option of the decorator",
            why="Other libraries' words are answered with ours.",
            file="from asynctasq import task\n\n\n@task(max_retries=5)\nasync def send(to: str) -> None: ...\n",
        ),
        Mistake(
            title="An option that cannot work",
            why="Refused where it is written.",
            file="from asynctasq import task\n\n\n@task(timeout=-1)\nasync def send(to: str) -> None: ...\n",
        ),
        Mistake(
            title="A function without a name that a worker could find",
            why="The worker imports tasks by module and name.",
            file="from asynctasq import task\n\nsend = task(lambda to: print(to))\n",
        ),
        Mistake(
            title="A task that is a generator",
            why="Use a plain function, or dispatch one task for each item.",
            file="from asynctasq import task\n\n\n@task\ndef pages(url: str):\n    yield url\n",
        ),
        Mistake(
            title="Two tasks of one name",
            why="Names are what messages carry.",
            file=dedent(
                """
                from asynctasq import task


                @task(name="send")
                async def send_mail(to: str) -> None: ...


                @task(name="send")
                async def send_letter(to: str) -> None: ...
                """
            ),
        ),
        Mistake(
            title="A setting that there is not",
            why="In `init()` and `pyproject.toml` unknown keys are refused.",
            file='import asynctasq\n\nasynctasq.init({"driver": "redis", "redis": {"urll": "redis://cache"}})\n',
        ),
        Mistake(
            title="A misspelt environment variable",
            why="It is a warning, since another version of asynctasq may know it.",
            commands=("asynctasq stats",),
            environ={"ASYNCTASQ_REDIS_ULR": "redis://cache"},
        ),
        Mistake(
            title="An unknown driver",
            why="Names, URLs and what other packages bring are looked up alike.",
            commands=("asynctasq stats --driver postgre",),
        ),
        Mistake(
            title="A wrong address",
            why="It is read when the driver is described, before anything connects. Passwords are never shown.",
            commands=("asynctasq stats --driver redis://cache:port/0",),
        ),
        Mistake(
            title="A broker that cannot be reached",
            why="A command ends with exit code 3, a dispatch raises `DriverUnavailable`; a worker waits for the "
            "broker, says so, and goes on by itself.",
            commands=("asynctasq stats --driver redis://127.0.0.1:1",),
        ),
        Mistake(
            title="A missing extra",
            why="Each broker's client comes with an extra of its name.",
            file='import asynctasq\n\nasynctasq.init("postgresql://db.example/shop")\n',
            hidden="import sys; sys.modules['asyncpg'] = None  # as if it were not installed\n",
        ),
        Mistake(
            title="Tables that are not installed",
            why="PostgreSQL and MySQL need theirs once, and after an upgrade of asynctasq.",
            commands=("asynctasq stats --driver postgres",),
            environ={"ASYNCTASQ_POSTGRES_DSN": postgres_url, "ASYNCTASQ_POSTGRES_SCHEMA": "nobody_installed_this"},
        ),
        Mistake(
            title="The app is not found",
            why="A module is looked for from the working directory, as `python -m` does. A file's path is good as well.",
            file="from asynctasq import task\n\n\n@task\nasync def send(to: str) -> None: ...\n",
            commands=("asynctasq worker shp",),
        ),
        Mistake(
            title="Nothing that makes a task",
            why="Without a name, a worker looks for files that use `@task`, below the working directory.",
            commands=("asynctasq worker",),
            shows="no tasks",
        ),
        Mistake(
            title="A module that fails on import",
            why="The worker does not start.",
            file='import asynctasq\n\nRATES = {}\nVAT = RATES["de"]\n',
            commands=("asynctasq worker shop",),
        ),
        Mistake(
            title="A misspelt command or option",
            why="Exit code 2, like every wrong usage.",
            commands=("asynctasq wroker", "asynctasq worker --concurency 8"),
        ),
        Mistake(
            title="A task that this worker does not know",
            why="Not imported, renamed, or deployed later than its dispatcher. It waits an hour for a worker that "
            "knows it, and spends no attempt; then it is a dead letter.",
            file=calling('await send("ada").dispatch()') + "\n",
            commands=("python shop.py", "asynctasq worker other.py --burst"),
            shows="shop:send",
        ),
        Mistake(
            title="A blocking call in an async task",
            why="Every other async task of this worker waits. Leases are kept, so nothing runs twice.",
            file=dedent(
                """
                import time

                from asynctasq import task


                @task
                async def poll(url: str) -> None:
                    time.sleep(1.5)


                if __name__ == "__main__":
                    poll("https://shop.example").dispatch_sync()
                """
            ),
            commands=("python shop.py", "asynctasq worker shop.py --burst"),
            shows="blocked",
        ),
        Mistake(
            title="A row that is not saved yet",
            why="Rows travel as their key, and a new one has none before the flush.",
            file=dedent(
                """
                from asynctasq import task
                from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


                class Base(DeclarativeBase): ...


                class User(Base):
                    __tablename__ = "users"
                    id: Mapped[int] = mapped_column(primary_key=True)


                @task
                async def welcome(user: User) -> None: ...


                if __name__ == "__main__":
                    welcome(User()).dispatch_sync()
                """
            ),
        ),
    ]


SAME = [
    # On a terminal, where the mistakes of this page are made, the log is no JSON.
    (
        r'^\{"ts": "[^"]*", "level": "warning", "logger": "([\w.]+)", "msg": "(.*)"\}$',
        r"2026-11-28 09:00:00 WARNING \1: \2",
    ),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "01a2212e-e538-74d5-97a8-1c640e92c695"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-28 09:00:00"),
    (r"\t\d[\d.]* (ms|s)$", "\t0.4 s"),
    (r"127\.0\.0\.1:\d\d+", "127.0.0.1:5432"),
    (r"0x[0-9a-f]+", "0x7f0000000000"),
]


def run(mistake: Mistake) -> list[str]:
    """What each of its commands prints, made the same for everybody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "pyproject.toml").touch()
        if mistake.file:
            (folder / "shop.py").write_text(mistake.hidden + shown_file(mistake))
        if any("other.py" in command for command in mistake.commands):
            (folder / "other.py").write_text("from asynctasq import task\n\n\n@task\ndef other() -> None: ...\n")
        return [_same(_run(command, mistake, folder), folder) for command in mistake.commands]


def _run(command: str, mistake: Mistake, folder: Path) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCTASQ_", "PYTHON"))}
    path = f"{Path(sys.executable).parent}:{ours.get('PATH', os.defpath)}"
    environ = {**ours, **mistake.environ, "PATH": path, "ASYNCTASQ_LOG_FORMAT": "text", "COLUMNS": "120"}
    done = subprocess.run(
        command.split(), cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    told = done.stdout + done.stderr
    if mistake.shows and "worker" in command:
        told = "".join(_records(told, mistake.shows))
    told = re.sub(r"Traceback \(most recent call last\):\n(?:[ \n].*\n|\n)+", "", told)
    return re.split(r"\n(?:The above exception was|During handling of)[^\n]*\n\n", told)[
        -1
    ]  # of several errors, the last


def _records(log: str, words: str) -> list[str]:
    """The records of a log that hold some words, with the lines that belong to them."""
    records = re.split(r"^(?=\d{4}-\d\d-\d\d |Error: )", log, flags=re.MULTILINE)
    return [record for record in records if words in record and " INFO " not in record]


def _same(told: str, folder: Path) -> str:
    told = told.replace(str(folder), HERE)
    # Where Python and asynctasq are installed, and their own lines of a stack, are nobody's mistake.
    told = re.sub(r'  File "(?!/srv/shop)[^\n]*\n(?:    [^\n]*\n)*', "", told)
    told = re.sub(rf"in {HERE}[^\n;]*", f"in {HERE}, ...", told) if "there is no module" in told else told
    for pattern, instead in SAME:
        told = re.sub(pattern, instead, told, flags=re.MULTILINE)
    return "\n".join(line.rstrip().expandtabs(10) for line in told.strip().splitlines()) + "\n"


def shown_file(mistake: Mistake) -> str:
    return mistake.file.strip("\n") + "\n"


def page(postgres_url: str) -> str:
    """The whole page."""
    mistakes = made(postgres_url)
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(run, mistakes))
    lines = [
        "# The likely mistakes",
        "",
        "And what asynctasq prints for each. `python -m tests.docs.mistakes` made them all and wrote this page; of a traceback",
        "it kept the last line, of a worker's log what speaks of the mistake.",
        "",
    ]
    for mistake, printed in zip(mistakes, outputs, strict=True):
        lines += [f"## {mistake.title}", "", mistake.why, ""]
        if mistake.file:
            lines += ["```python", shown_file(mistake).rstrip("\n"), "```", ""]
        lines.append("```text")
        for command, output in zip(mistake.commands, printed, strict=True):
            given = "".join(f"{name}={value} " for name, value in mistake.environ.items() if "postgres" not in value)
            given = given.replace("ASYNCTASQ_POSTGRES_SCHEMA=nobody_installed_this ", "")
            lines += [f"$ {given}{command}", *output.rstrip("\n").splitlines()]
        lines += ["```", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    with postgres.server(settings=postgres.UNSAFE) as server:
        PAGE.write_text(page(postgres_place(server)))
