"""The command line helps: names that are nearly right, settings to fill in, shells that complete."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner
from dotenv import dotenv_values

from asynctasq.app import bootstrap
from asynctasq.app.cli import main
from asynctasq.app.nearest import did_you_mean
from asynctasq.app.setting_sources import PREFIX
from asynctasq.app.settings import PATHS, Settings, load_settings

SHOP = """
import asynctasq
from asynctasq.drivers.memory_driver import MemoryDriver

app = asynctasq.init({"driver": MemoryDriver()})

@asynctasq.task(queue="emails")
async def send(to: str): ...
"""


@pytest.fixture(autouse=True)
def _no_app_of_others(monkeypatch):
    monkeypatch.setattr(bootstrap, "_current", None)


def cli(*words):
    return CliRunner().invoke(main, words, catch_exceptions=False)


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one():
    assert did_you_mean("emial", ["reports", "email"]) == "; did you mean 'email'?"
    assert did_you_mean("quite different", ["reports", "email"]) == ""


# Queues and tasks


def test_stats_of_a_queue_that_nobody_knows_ask_whether_another_was_meant(project):
    project.write("shop.py", SHOP)
    result = cli("stats", "emials", "--app", "shop")
    assert result.exit_code == 0
    assert "nothing is in the queue 'emials' and no task goes there; did you mean 'emails'?" in result.stderr
    assert result.stdout.splitlines()[1].startswith("emials\t0")
    assert cli("stats", "emails", "--app", "shop").stderr == ""


@pytest.mark.parametrize(
    "words",
    [["list", "--queue"], ["requeue", "--all", "--queue"], ["purge", "--all", "--yes", "--queue"]],
    ids=" ".join,
)
def test_dead_letters_of_a_queue_that_nobody_knows_ask_whether_another_was_meant(project, words):
    project.write("shop.py", SHOP)
    result = cli("dead", *words, "emials", "--app", "shop")
    assert result.exit_code == 0
    assert result.stderr == "nothing is in the queue 'emials' and no task goes there; did you mean 'emails'?\n"
    assert cli("dead", *words, "emails", "--app", "shop").stderr == ""


def test_a_worker_of_a_queue_that_is_nearly_a_tasks_asks_whether_that_was_meant(project):
    project.write("shop.py", SHOP)
    said = cli("worker", "shop", "--burst", "--queues", "emails,emial", "--log-format", "text").stderr
    assert "no task of this app goes to the queue emial, which is served; did you mean 'emails'?" in said
    said = cli("worker", "shop", "--burst", "--queues", "emails,default,other", "--log-format", "text").stderr
    assert "did you mean" not in said


def test_a_dead_letter_that_there_is_not_is_answered_with_where_to_look(project):
    project.write("shop.py", SHOP)
    result = cli("dead", "show", "nothing", "--app", "shop")
    assert result.exit_code == 1
    assert "`asynctasq dead list` shows those there are" in result.stderr


# show

IDS = """
async def fill():
    ids = [await send("a").dispatch(), await send("b").delay(90).dispatch(), await send("c").on_queue("dying").dispatch()]
    async with app.driver() as driver:
        (claim,) = await driver.claim(["dying"], limit=1, lease=30, wait=0, worker="w")
        await driver.settle([Settlement(claim=claim, verdict=DeadLetter(reason="it was time"))])
    return ids

from asynctasq.ports import DeadLetter, Settlement
from asynctasq.utils.loop import run
ids = run(fill())
"""


def test_show_says_where_a_task_is(project):
    project.write("shop.py", SHOP + IDS)
    cli("stats", "--app", "shop")
    ready, delayed, dead = sys.modules["shop"].ids
    said = cli("show", ready, "--app", "shop").stdout
    assert re.search(r"^state: +ready, for \d+ s$", said, re.MULTILINE)
    assert re.search(r"^task: +shop:send$", said, re.MULTILINE)
    shown = json.loads(cli("show", delayed, "--app", "shop", "--json").stdout)
    assert (shown["queue"], shown["state"].partition(" in ")[0], shown["attempts"]) == ("emails", "delayed, due", 0)
    shown = json.loads(cli("show", dead, "--app", "shop", "--json").stdout)
    assert (shown["queue"], shown["state"]) == ("dying", "dead: it was time")
    assert shown["more"] == f"asynctasq dead show {dead}"


def test_show_says_what_may_have_become_of_a_task_that_is_not_there(project):
    project.write("shop.py", SHOP)
    result = cli("show", "nothing", "--app", "shop")
    assert result.exit_code == 1
    assert (
        "there is no task nothing at memory: it has succeeded, was removed, or went to another driver" in result.stderr
    )


def test_show_says_so_where_the_driver_cannot_find_tasks(project):
    project.write(
        "plain.py",
        "from asynctasq.ports import Capabilities\n"
        "class Plain:\n"
        "    capabilities, location = Capabilities(), 'plain://'\n"
        "    claim = settle = None\n"
        "    def sibling(self): return self\n"
        "    async def connect(self): ...\n"
        "    async def close(self): ...\n"
        "queue = Plain()\n",
    )
    result = cli("show", "x", "--driver", "plain:queue")
    assert result.exit_code == 2
    assert "plain:// cannot find tasks by their ids: `asynctasq stats`" in result.stderr


# init-env


def test_init_env_writes_every_setting_with_its_meaning_and_default(project):
    assert cli("init-env").exit_code == 0
    file = project.folder / ".env.example"
    text = file.read_text()
    for path in PATHS:
        variable = PREFIX + path.upper().replace(".", "_")
        (meaning,) = re.findall(rf"^# (.+)\n# {variable}=", text, flags=re.MULTILINE)
        assert len(meaning.split()) > 1, f"{path} has no meaning: {meaning}"


def test_what_init_env_writes_changes_nothing_and_may_be_uncommented_as_it_is(project):
    cli("init-env", "--output", ".env")
    assert dotenv_values(project.folder / ".env") == {}
    text = (project.folder / ".env").read_text()
    (project.folder / ".env").write_text(re.sub(r"^# (ASYNCTASQ_\w+=)", r"\1", text, flags=re.MULTILINE))
    assert load_settings(environ={}, cwd=project.folder).settings == Settings()


def test_init_env_overwrites_nothing(project):
    project.write("mine", "precious")
    result = cli("init-env", "--output", "mine")
    assert result.exit_code == 2
    assert "mine is there already: move it away, or write elsewhere with --output" in result.stderr
    assert (project.folder / "mine").read_text() == "precious"


def test_init_env_says_where_it_cannot_write(project):
    result = cli("init-env", "--output", "nowhere/.env")
    assert result.exit_code == 2
    assert "nowhere/.env cannot be written" in result.stderr


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_says_where_it_goes(shell):
    result = cli("completion", shell)
    assert result.exit_code == 0, result.output
    first, *script = result.stdout.splitlines()
    assert first.startswith("# ")
    assert shell in first
    assert any("_ASYNCTASQ_COMPLETE" in line for line in script)


def test_a_shell_that_nobody_knows_is_refused_with_those_there_are():
    result = cli("completion", "ksh")
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr


def test_bash_completes_commands_and_options(tmp_path):
    program = tmp_path / "asynctasq"
    program.write_text(f"#!{sys.executable}\nfrom asynctasq.app.cli import main\nmain(prog_name='asynctasq')\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = (
        f'PATH="{tmp_path}:$PATH"; eval "$(asynctasq completion bash)"\n'
        'complete_it() { COMP_WORDS=(asynctasq "$@"); COMP_CWORD=$#; COMPREPLY=();\n'
        "_asynctasq_completion asynctasq; echo ${COMPREPLY[@]}; }\n"
        "complete_it st\ncomplete_it stats --wa\n"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["stats", "--watch"], done.stderr
