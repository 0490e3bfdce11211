"""What users are shown, typed and run: a program dispatches in one process, a worker runs it in another, on every broker.

The programs are beside this file. Each is run as its own script, so its tasks are named and found as a reader's are.
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from redis import Redis
from tests.integration.fleet import BROKERS, Broker, postgres_at, redis, sqlite, sqs
from tests.integration.guide.project import Project, words
from tests.services.redis import server, url

from asynctasq.app.tasks import task
from asynctasq.domain.task import ExecutionMode, TaskConfig
from asynctasq.drivers.redis_driver import RedisDriver

pytestmark = pytest.mark.timeout(240)  # several interpreters start one after the other, beside other tests

NOTHING = (0, 0, 0)
READY, DELAYED, DEAD = (1, 0, 0), (0, 1, 0), (0, 0, 1)


@pytest.fixture(params=BROKERS, ids=lambda make: make.__name__)
def broker(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.param(request)
    return made


def test_the_smallest_program_prints_ids_and_its_tasks_wait_for_a_worker(broker: Broker, tmp_path: Path) -> None:
    first = Project.of("first.py", broker, tmp_path)
    loop, *ids = first.dispatch()
    assert loop == "loop uvloop"
    assert len({UUID(line.removeprefix("id ")) for line in ids}) == 2
    assert first.waiting("default") == {"default": (2, 0, 0)}
    assert first.work() == ["announced the shop is open", "total 12"]
    assert first.waiting("default") == {"default": NOTHING}


def test_each_option_of_the_decorator_does_what_it_says(broker: Broker, tmp_path: Path) -> None:
    options = Project.of("options.py", broker, tmp_path)
    options.dispatch()
    # A worker for some queues leaves the others alone.
    assert options.work("--queues", "checks,mail") == ["check 1", "letter ada@example.org Engines"]
    queues = ["mail", "checks", "money", "partners", "quick", "patient", "critical"]
    assert options.waiting(*queues) == dict.fromkeys(queues, READY) | {
        "mail": NOTHING,
        "checks": DEAD,
        "quick": (2, 0, 0),
    }
    assert options.work() == sorted(
        ["ask 1", "critical {'level': 1}", "patient", *(f"charge {attempt}" for attempt in range(1, 11))]
    )
    assert options.waiting(*queues) == dict.fromkeys(queues, NOTHING) | {
        "checks": DEAD,
        "partners": DELAYED,  # five minutes from now
        "quick": (0, 0, 2),
    }
    if broker.name == "sqs":
        return  # which counts dead letters, and has no way to look at them
    (refused,) = options.dead("checks")
    assert refused.attempts == 1
    assert "ValueError: ['age'] will not do" in refused.error
    assert all("TaskTimeout" in late.error for late in options.dead("quick"))


def test_what_is_not_said_at_the_decorator_has_the_value_that_the_table_shows() -> None:
    def plain() -> None: ...

    async def coroutine() -> None: ...

    config = task(coroutine).config(TaskConfig())
    assert (config.queue, config.retry.max_attempts, config.retry.delay) == ("default", 3, 60)
    assert (config.timeout, config.driver, config.mode) == (None, None, ExecutionMode.ASYNC)
    assert task(plain).config(TaskConfig()).mode is ExecutionMode.SYNC


def test_a_call_is_dispatched_in_every_form_and_the_chain_changes_this_one_alone(
    broker: Broker, tmp_path: Path
) -> None:
    dispatching = Project.of("dispatching.py", broker, tmp_path)
    ids = words(dispatching.dispatch())
    queues = ["members", "default", "reminders", "urgent", "whenever", "partners", "critical"]
    assert dispatching.waiting(*queues) == {
        "members": (2, 0, 0),
        "default": (2, 0, 0),
        "reminders": DELAYED,
        "urgent": (2, 0, 0),
        "whenever": DELAYED,
        "partners": (2, 0, 0),
        "critical": DELAYED,
    }
    ran = dispatching.work("--queues", ",".join(queues))
    # The id that a dispatch returned is the one under which the task runs.
    assert ran == sorted(
        [
            f"{ids['named']} 1 Ada ada@example.org True",
            f"{ids['mixed']} 2 Grace grace@example.org False",
            f"{ids['positional']} apple pear plum",
            f"{ids['urgent']} now on urgent",
            f"{ids['elsewhere']} plain on urgent",
            f"{ids['plain']} plain on default",
            *(f"/impatient {attempt}" for attempt in (1, 2, 3)),  # the attempts are the decorator's
            "/patient 1",
        ]
    )
    assert dispatching.waiting(*queues) == dict.fromkeys(queues, NOTHING) | {
        "reminders": DELAYED,
        "whenever": DELAYED,
        "partners": (0, 1, 1),
        "critical": DELAYED,
    }


def test_the_four_modes_run_on_the_loop_in_a_thread_and_in_processes(broker: Broker, tmp_path: Path) -> None:
    modes = Project.of("modes.py", broker, tmp_path)
    modes.dispatch()
    *processes, on_the_loop, in_a_thread = sorted(modes.work(), key=lambda line: ("process" not in line, line))
    pid = on_the_loop.split()[1]
    assert on_the_loop == f"async {pid} main thread uvloop"
    assert in_a_thread == f"plain {pid} another thread"
    children = [line.split()[2] for line in processes]
    assert pid not in children
    assert [line.replace(child, "PID") for line, child in zip(processes, children, strict=True)] == [
        "async process PID main thread uvloop",
        "plain process PID main thread",
    ]


def test_a_worker_runs_a_thousand_async_tasks_and_hundreds_of_plain_ones_at_the_same_time(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    crowd = Project.of("crowd.py", sqlite(request), tmp_path)
    crowd.dispatch()
    assert crowd.work("--concurrency", "1200", "--threads", "200") == ["the async ones met", "the plain ones met"]


def test_arguments_of_daily_life_arrive_as_they_were_given(broker: Broker, tmp_path: Path) -> None:
    shop = Project.of("shop.py", broker, tmp_path)
    shop.dispatch()
    assert shop.work() == sorted(
        [
            "mail 'ada@example.org' 'Welcome!' 'Good to have you' None",
            "charge 1 Decimal('99.90') 'card' 456",
            "report 'sales' datetime.datetime(2026, 2, 27, 2, 30) datetime.datetime(2026, 3, 29, 2, 30)"
            " datetime.timedelta(days=30)",
            "develop '/in/photo.jpg' ['crop', 'sign'] '/out/photo.jpg'",
            *(
                f"deliver {attempt} {{'event': 'joined', 'n': 1}} {{'X-Key': 'k'}} ConnectionRefusedError"
                for attempt in range(1, 6)
            ),
            "batch 2026-01 [1, 2]",
        ]
    )
    assert shop.waiting("mail", "sync", "hooks") == {"mail": DELAYED, "sync": DELAYED, "hooks": DEAD}


def test_a_tour_of_everything_runs_on_uvloop_itself(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tour = Project.of("tour.py", redis(request), tmp_path)
    assert len({UUID(line) for line in tour.dispatch()}) == 6
    ran = tour.work() + tour.work("--driver", "redis")
    assert sorted(ran) == ["! {'key': 'value'}", "# 1", "€ 123 99.99", "✉ ada@example.org Welcome Hello"]
    assert tour.waiting("mail") == {"mail": (0, 2, 0)}


def test_a_task_goes_to_the_driver_that_it_names_or_was_given(
    request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path
) -> None:
    rows, cloud = postgres_at(postgres_url).environ(tmp_path), sqs(request).environ(tmp_path)
    elsewhere = {**rows, **cloud, "ASYNCTASQ_POSTGRES_DSN": rows["ASYNCTASQ_DRIVER"]}
    del elsewhere["ASYNCTASQ_DRIVER"]  # the program names them
    with server() as guarded:
        with Redis(port=guarded.port) as admin:
            admin.config_set("requirepass", "secret")
        overrides = Project.of(
            "overrides.py",
            redis(request),
            tmp_path,
            **elsewhere,
            GUIDE_GUARDED_URL=url(guarded).rpartition("/")[0],
        )
        said = overrides.run("overrides.py").stderr
        assert "replaces the one at" in said  # a second task of the same name is told of, and counts
        there = RedisDriver(url(guarded).rpartition("/")[0], password="secret", db=1)
        assert overrides.waiting("custom", driver=there) == {"custom": (2, 0, 0)}
        assert overrides.waiting("rows", driver="postgres") == {"rows": READY}
        assert overrides.work() == ["by name {'key': 'value'}", "the second of two"]
        assert overrides.work("--driver", "postgres") == ["in postgres a row"]
        assert overrides.work("--driver", "sqs") == ["in sqs north"]
        assert overrides.work("--driver", "overrides:guarded") == ["guarded too", "guarded {'key': 'value'}"]
