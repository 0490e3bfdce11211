"""The command line over an app in memory: what is printed, where, and the exit codes."""

import json
import logging
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from asynctasq.app import bootstrap, setting_sources
from asynctasq.app.cli import dead, main

SHOP = """
import asynctasq
from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.tasks import dispatch_many, task
from asynctasq.utils.loop import run

queue = MemoryDriver()
app = asynctasq.init({"driver": queue, "worker": {"concurrency": 7}, "redis": {"url": "redis://:s3cret@host"}})
ran = []
fail = True

@task
async def pack(item: str):
    ran.append(item)

@task(queue="post", max_attempts=1)
def send(to: str):
    if fail:
        raise LookupError(f"nobody lives\\nat {to}")
    ran.append(to)

async def open_for_business():
    return await dispatch_many([pack("a"), pack("b"), send("there"), send("nowhere"), pack("c")])

ids = run(open_for_business())
"""


@pytest.fixture(autouse=True)
def _nothing_from_elsewhere(monkeypatch):
    for variable in [name for name in setting_sources.os.environ if name.startswith("ASYNCTASQ_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(bootstrap, "_current", None)
    setting_sources._warn_unknown.cache_clear()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def cli(*words, input=None):
    return CliRunner().invoke(main, words, input=input, catch_exceptions=False)


@pytest.fixture
def shop(project):
    """A shop with three tasks packed, and two letters that could not be sent; the module."""
    project.write("shop.py", SHOP)
    result = cli("worker", "shop", "--burst", "--queues", "default,post", "--log-format", "text")
    assert result.exit_code == 0, result.output
    return sys.modules["shop"]


def refused(*words, status, said):
    result = cli(*words)
    assert result.exit_code == status, result.output
    assert re.search(said, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_burst_runs_what_is_ready_and_exits(shop):
    assert sorted(shop.ran) == ["a", "b", "c"]


def test_stats_shows_every_queue_that_holds_something_and_those_of_the_tasks(shop):
    result = cli("stats", "--app", "shop")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "QUEUE\tREADY\tDELAYED\tLEASED\tDEAD\tOLDEST",
        "default\t0\t0\t0\t0\t",
        "post\t0\t0\t0\t2\t",
    ]


def test_stats_can_be_asked_for_some_queues_as_json(shop):
    (queue,) = json.loads(cli("stats", "post", "--driver", "shop:queue", "--json").stdout)
    assert queue == {
        "queue": "post",
        "ready": 0,
        "delayed": 0,
        "leased": 0,
        "dead": 2,
        "oldest_age": None,
        "exact": True,
    }


def test_stats_refuses_what_is_no_queue_name(project):
    refused("stats", "a b", status=2, said="'a b' is not a queue name")


def test_dead_letters_are_listed_with_their_task_and_reason_in_one_line_each(shop):
    header, *rows = [row.split("\t") for row in cli("dead", "list", "--app", "shop").stdout.splitlines()]
    assert header == ["ID", "QUEUE", "TASK", "DIED", "REASON"]
    assert {row[0] for row in rows} == set(shop.ids[2:4])
    assert {tuple(row[1:3]) for row in rows} == {("post", "shop:send")}
    assert all(re.fullmatch(r"\d+ s ago", row[3]) and row[4] for row in rows)


def test_dead_letters_are_listed_of_one_queue_up_to_a_limit(shop):
    def listed(*words):
        return json.loads(cli("dead", "list", "--app", "shop", "--json", *words).stdout)

    assert len(listed()) == 2
    assert len(listed("--queue", "post")) == 2
    assert len(listed("--limit", "1")) == 1
    assert listed("--queue", "default") == []


def test_a_dead_letter_is_shown_with_its_error(shop):
    result = cli("dead", "show", shop.ids[2], "--app", "shop")
    assert result.exit_code == 0
    assert re.search(r"^task: +shop:send$", result.stdout, re.MULTILINE)
    assert "nobody lives\nat there" in result.stdout
    shown = json.loads(cli("dead", "show", shop.ids[2], "--app", "shop", "--json").stdout)
    assert (shown["id"], shown["attempts"], shown["history"]) == (shop.ids[2], 1, [])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown["died_at"])


def test_a_dead_letter_whose_body_cannot_be_read_is_shown_all_the_same(shop, project):
    project.write(
        "rot.py",
        "from shop import queue\n"
        "from asynctasq.domain.message import Message\n"
        "from asynctasq.domain.verdict import DeadLetter, Settlement\n"
        "from asynctasq.utils.loop import run\n"
        "async def rot():\n"
        "    await queue.connect()\n"
        "    await queue.enqueue([Message(id='rotten', queue='post', body=b'?')])\n"
        "    claims = await queue.claim(['post'], limit=1, lease=5, wait=0, worker='w')\n"
        "    await queue.settle([Settlement(claim=claims[0], verdict=DeadLetter(reason='rotten', error=''))])\n"
        "    await queue.close()\n"
        "run(rot())\n",
    )
    shown = json.loads(cli("dead", "show", "rotten", "--app", "rot", "--json").stdout)
    assert (shown["task"], shown["reason"], shown["body_bytes"]) == ("?", "rotten", 1)


def test_dead_letters_are_requeued_by_id_and_run_again(shop):
    result = cli("dead", "requeue", shop.ids[2], "--app", "shop")
    assert (result.exit_code, result.stdout) == (0, "requeued 1\n")
    shop.fail = False
    assert cli("worker", "shop", "--burst").exit_code == 0
    assert shop.ran[-1] == "there"


def test_all_dead_letters_of_a_queue_are_requeued(shop, monkeypatch):
    monkeypatch.setattr(dead, "BATCH", 1)
    result = cli("dead", "requeue", "--queue", "post", "--all", "--app", "shop")
    assert (result.exit_code, result.stdout) == (0, "requeued 2\n")
    (queue,) = json.loads(cli("stats", "post", "--app", "shop", "--json").stdout)
    assert (queue["ready"], queue["dead"]) == (2, 0)


def test_an_id_without_a_dead_letter_fails_after_the_others_are_done(shop):
    result = cli("dead", "purge", "nothing", shop.ids[3], "--app", "shop")
    assert result.exit_code == 1
    assert result.stdout == "purged 1\n"
    assert "there is no dead letter nothing" in result.stderr
    refused("dead", "show", "nothing", "--app", "shop", status=1, said="there is no dead letter nothing")


def test_purging_a_whole_queue_asks_first(shop):
    words = ("dead", "purge", "--queue", "post", "--all", "--app", "shop")
    no = cli(*words, input="n\n")
    assert no.exit_code == 1
    assert "for good?" in no.output
    assert cli("dead", "list", "--app", "shop", "--json").stdout != "[]\n"
    assert cli(*words, input="y\n").stdout.endswith("purged 2\n")
    assert cli(*words, "--yes").stdout == "purged 0\n"


@pytest.mark.parametrize("command", ["requeue", "purge"])
@pytest.mark.parametrize("words", [[], ["--all"], ["--queue", "post"], ["1", "--all"], ["1", "--queue", "post"]])
def test_which_dead_letters_are_meant_must_be_clear(project, command, words):
    refused("dead", command, *words, status=2, said=r"by their ids, or all of a queue with --queue QUEUE --all")


def test_a_driver_without_dead_letters_says_so(project):
    project.write(
        "plain.py",
        "from asynctasq.drivers.memory_driver import MemoryDriver\n"
        "from asynctasq.ports.driver import Capabilities\n"
        "class Plain:\n"
        "    capabilities, location = Capabilities(), 'plain://'\n"
        "    claim = settle = None\n"
        "    def sibling(self): return self\n"
        "    async def connect(self): ...\n"
        "    async def close(self): ...\n"
        "queue = Plain()\n",
    )
    refused("dead", "list", "--driver", "plain:queue", status=2, said="plain:// cannot list dead letters")


def test_config_shows_each_value_with_its_source(project):
    (project.folder / "pyproject.toml").write_text("[tool.asynctasq.worker]\nthreads = 3\nqueues = ['a', 'b']\n")
    rows = {row[0]: row[1:] for row in (line.split("\t") for line in cli("config", "show").stdout.splitlines())}
    source = str(project.folder / "pyproject.toml")
    assert rows["worker.threads"] == ["3", source]
    assert rows["worker.queues"] == ["a,b", source]
    assert rows["worker.lease"] == ["30", "default"]
    assert rows["defaults.timeout"] == ["", "default"]


def test_config_shows_what_an_app_gives_to_init_and_masks_secrets(shop):
    result = cli("config", "show", "--app", "shop", "--json")
    values = json.loads(result.stdout)
    assert values["worker.concurrency"] == {"value": 7, "source": "init()"}
    assert values["redis.url"] == {"value": "**********", "source": "init()"}
    assert "MemoryDriver" in values["driver"]["value"]
    assert "s3cret" not in result.output


def test_config_masks_the_password_in_a_driver_of_another_package(project, monkeypatch):
    monkeypatch.setenv("ASYNCTASQ_DRIVER", "kafka://me:s3cret@host/x")
    shown = json.loads(cli("config", "show", "--json").stdout)
    assert shown["driver"]["value"] == "kafka://**********@host/x"


def test_an_app_may_be_named_by_the_settings(shop, monkeypatch):
    monkeypatch.setenv("ASYNCTASQ_APP", "shop:app")
    assert "post\t0\t0\t0\t2" in cli("stats").stdout


def test_imports_are_imported_beside_the_app(project, monkeypatch):
    project.write("more.py", "imported = True")
    project.write("shop.py", SHOP)
    monkeypatch.setenv("ASYNCTASQ_IMPORTS", "more")
    assert cli("stats", "--app", "shop").exit_code == 0
    assert sys.modules["more"].imported


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["worker", "nowhere"], "there is no module 'nowhere'"),
        (["worker", "shop:send"], "'shop:send' is a TaskFunction: name a module, or an app"),
        (["worker", "shop:ap"], "has no attribute 'ap'; did you mean 'app'"),
        (["worker"], "no tasks found below"),
        (["worker", "shop", "--lease", "0.1"], r"worker\.lease=0\.1 \(command line\): it should be"),
        (["worker", "shop", "--queues", "a b"], r"worker\.queues='a b' \(command line\)"),
        (["worker", "shop", "--queues", ""], "name at least one queue"),
        (["worker", "shop", "--threads", "0"], r"worker\.threads=0 \(command line\)"),
        (["worker", "shop", "--threads", "x"], "'x' is not a valid integer"),
        (["worker", "shop", "--driver", "sqss"], "there is no driver 'sqss'.*did you mean 'sqs'"),
        (["worker", "shop", "--log-level", "loud"], "'loud' is not one of"),
        (["worker", "shop", "--concurency", "3"], "--concurrency"),
        (["wroker"], "Did you mean 'worker'"),
        (["stats", "--driver", "sqlit"], "did you mean 'sqlite'"),
        (["stats", "--app", "broken.py"], r"broken\.py: ZeroDivisionError: division by zero at .*broken\.py:1"),
    ],
)
def test_what_cannot_work_is_refused_in_one_clear_line(project, words, said):
    if "shop:send" in words or "shop:ap" in words:
        project.write("shop.py", SHOP)
    elif "shop" in words:
        project.write("shop.py", "")
    project.write("broken.py", "1 / 0")
    result = cli(*words)
    assert result.exit_code == 2
    assert re.search(said, result.stderr), result.stderr
    assert "Traceback" not in result.output


def test_a_broker_that_cannot_be_reached_has_its_own_status(project):
    project.write(
        "gone.py",
        "from asynctasq.drivers.memory_driver import MemoryDriver\n"
        "from asynctasq.errors import DriverUnavailable\n"
        "class Gone(MemoryDriver):\n"
        "    def sibling(self): return self\n"
        "    async def connect(self): raise DriverUnavailable('nobody answers at gone:6379')\n"
        "queue = Gone()\n",
    )
    refused("stats", "--driver", "gone:queue", status=3, said="nobody answers at gone:6379")


def test_an_interrupted_command_says_nothing_and_has_the_usual_status(project):
    project.write("slow.py", "raise KeyboardInterrupt")
    result = cli("stats", "--app", "slow")
    assert (result.exit_code, result.stdout) == (130, "")


def test_an_unknown_variable_is_told_in_the_log_before_the_app_is_imported(project, monkeypatch):
    monkeypatch.setenv("ASYNCTASQ_DRIVR", "sqlite")
    project.write("shop.py", SHOP)
    result = cli("worker", "shop", "--burst")
    first = json.loads(result.stderr.splitlines()[0])
    assert (first["logger"], first["level"]) == ("asynctasq.settings", "warning")
    assert "did you mean ASYNCTASQ_DRIVER?" in first["msg"]


def test_the_command_line_wins_over_what_the_app_gives_to_init(project):
    project.write("shop.py", SHOP.replace('"worker": {', '"log": {"level": "info"}, "worker": {"processes": 2, '))
    result = cli("worker", "shop", "--burst", "--log-level", "error", "--processes", "1")
    assert result.exit_code == 0
    assert '"info"' not in result.stderr


@pytest.mark.parametrize("words", [[], ["worker"], ["stats"], ["dead"], ["dead", "list"], ["config"]], ids=" ".join)
def test_help_keeps_its_lines_apart_and_shows_no_marks_of_its_making(words):
    text = cli(*words, "--help").stdout
    assert "\\b" not in text
    assert "\b" not in text
    examples = re.findall(r"^  asynctasq .*$", text, re.MULTILINE)
    assert all(line.count("asynctasq") == 1 for line in examples)


def test_help_teaches_by_example_signals_and_exit_codes():
    text = cli("worker", "--help").stdout
    for word in ("asynctasq worker shop.tasks", "TERM, INT", "QUIT", "Exit codes", "--shutdown-grace"):
        assert word in text
    assert "Exit codes" in cli("--help").stdout


def test_help_and_a_wrong_command_load_nothing_heavy():
    heavy = {"asyncio", "pydantic", "dependency_injector", "rich", "msgpack", "apsw", "uvloop"}
    code = (
        "import sys\n"
        "from asynctasq.app.cli import main\n"
        "for words in ['--help'], ['worker', '--help'], ['nonsense']:\n"
        "    main(words, standalone_mode=False) if words[-1] == '--help' else None\n"
        f"print(sorted({heavy!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
