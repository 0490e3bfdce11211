"""What `asynctasq doctor` makes of what it finds."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from asynctasq.adapters.drivers.mysql import examination as mysql
from asynctasq.adapters.drivers.postgres import examination as postgres
from asynctasq.adapters.drivers.redis import examination as redis
from asynctasq.adapters.drivers.sqs import examination as sqs
from asynctasq.adapters.drivers.sqs.faults import NotAllowed
from asynctasq.app import bootstrap
from asynctasq.app.cli import main
from asynctasq.app.cli.doctor import of_clocks, of_queues, of_round_trip
from asynctasq.domain.errors import ConfigurationError, DriverUnavailable, InvalidName
from asynctasq.ports import QueueStats


@pytest.fixture(autouse=True)
def _no_app_of_others(monkeypatch):
    monkeypatch.setattr(bootstrap, "_current", None)


def stats(*, ready=0, dead=0, oldest_age=None):
    return QueueStats(queue="mail", ready=ready, delayed=0, leased=0, dead=dead, oldest_age=oldest_age, exact=True)


@pytest.mark.parametrize(
    ("ahead", "said"),
    [(0.3, None), (-1.9, None), (30.0, "30.0 s ahead of this machine's"), (-30.0, "30.0 s behind this machine's")],
)
def test_clocks_may_differ_by_a_little(ahead, said):
    finding = of_clocks(ahead)
    assert bool(finding.mend) is (said is not None)
    assert (said or "apart") in finding.said


def test_a_broker_that_is_far_away_is_worth_a_word():
    assert not of_round_trip(0.002).mend
    assert of_round_trip(0.4).said == "answers in 400.0 ms"
    assert of_round_trip(0.4).mend


def test_a_queue_that_nobody_seems_to_serve_is_named_with_the_command_that_serves_it():
    assert of_queues([stats(ready=3, oldest_age=5.0)]) == []
    (finding,) = of_queues([stats(ready=3, oldest_age=7200.0)])
    assert (finding.subject, finding.said) == ("queue mail", "3 tasks are ready, the oldest for 2 h")
    assert finding.mend.startswith("asynctasq worker --queues mail")


def test_dead_letters_are_told_and_are_no_fault():
    (finding,) = of_queues([stats(dead=2)])
    assert "asynctasq dead list --queue mail" in finding.said
    assert not finding.mend


INFO = b"redis_version:7.2.4\r\nredis_mode:standalone\r\nrole:master\r\nrdb_last_bgsave_status:ok\r\n"
GOOD = [
    [b"maxmemory-policy", b"noeviction"],
    [b"maxmemory", b"0"],
    [b"appendonly", b"yes"],
    [b"appendfsync", b"everysec"],
]


def test_a_redis_that_is_set_up_well_has_nothing_to_mend():
    assert [finding.mend for finding in redis.findings(INFO, GOOD)] == [""] * 7


@pytest.mark.parametrize(
    ("subject", "info", "settings"),
    [
        ("role", INFO.replace(b"master", b"slave"), GOOD),
        ("saving", INFO.replace(b"status:ok", b"status:err"), GOOD),
        ("eviction", INFO, [[b"maxmemory-policy", b"allkeys-lru"], *GOOD[1:]]),
        ("persistence", INFO, [*GOOD[:2], [b"appendonly", b"no"], GOOD[3]]),
        ("disk", INFO, [*GOOD[:3], [b"appendfsync", b"no"]]),
    ],
)
def test_each_thing_that_is_wrong_with_a_redis_has_its_mend(subject, info, settings):
    wrong = [finding.subject for finding in redis.findings(info, settings) if finding.mend]
    assert wrong == [subject]


def test_a_redis_that_tells_nothing_is_not_called_wrong():
    silent = ConfigurationError("not for you")
    findings = redis.findings(silent, [silent, [], silent, silent])
    assert all("does not tell" in finding.said and not finding.mend for finding in findings)


TOLD = {
    "version": "16.2",
    "replica": False,
    "fsync": "on",
    "commit": "on",
    "isolation": "read committed",
    "max_connections": 100,
    "user": "shop",
    "missing": [],
}


def test_a_postgres_that_is_set_up_well_has_nothing_to_mend():
    assert not [f for f in postgres.findings(TOLD, schema="s", notify=True, connections=10) if f.mend]


@pytest.mark.parametrize(
    ("subject", "changed"),
    [
        ("role", {"replica": True}),
        ("permissions", {"missing": ["dead: INSERT"]}),
        ("persistence", {"fsync": "off"}),
        ("persistence", {"commit": "off"}),
        ("isolation", {"isolation": "serializable"}),
        ("connections", {"max_connections": 10}),
    ],
)
def test_each_thing_that_is_wrong_with_a_postgres_has_its_mend(subject, changed):
    findings = postgres.findings(TOLD | changed, schema="s", notify=True, connections=10)
    assert [finding.subject for finding in findings if finding.mend] == [subject]


VARIABLES = {
    "version": "10.11.6-MariaDB",
    "read_only": "OFF",
    "innodb_flush_log_at_trx_commit": "1",
    "max_connections": "151",
}


@pytest.mark.parametrize(
    ("subjects", "changed"),
    [
        ([], {}),
        (["role"], {"read_only": "ON"}),
        (["persistence"], {"innodb_flush_log_at_trx_commit": "0"}),
        (["persistence"], {"innodb_flush_log_at_trx_commit": "2"}),
        (["connections"], {"max_connections": "5"}),
    ],
)
def test_each_thing_that_is_wrong_with_a_mysql_has_its_mend(subjects, changed):
    findings = mysql.findings(VARIABLES | changed, connections=10, max_body=1_000)
    assert [finding.subject for finding in findings if finding.mend] == subjects


def doctor(*words):
    result = CliRunner().invoke(main, ["doctor", *words], catch_exceptions=False)
    return result.exit_code, result.stdout


def test_an_app_in_memory_is_told_that_its_tasks_end_with_the_process(project):
    project.write("shop.py", "import asynctasq\nasynctasq.init('memory://')\n@asynctasq.task\ndef pack(): ...\n")
    status, said = doctor("--app", "shop")
    assert status == 1
    rows = {row[1]: row for row in (line.split("\t") for line in said.splitlines())}
    assert rows["SUBJECT"] == ["", "SUBJECT", "FOUND", "WHAT TO DO"]
    assert rows["tasks"][2] == "1 are registered"
    assert rows["durability"][0] == "!!"
    assert "name a broker" in rows["durability"][3]
    assert rows["clocks"][0] == "ok"


def test_an_app_without_tasks_is_told_how_to_name_them(project):
    project.write("shop.py", "import asynctasq\nasynctasq.init('sqlite:///q.db')\n")
    status, said = doctor("--app", "shop", "--json")
    (tasks,) = [each for each in json.loads(said) if each["subject"] == "tasks"]
    assert (status, tasks["said"]) == (1, "0 are registered")
    assert "--app" in tasks["mend"]


FINE = {"MaximumMessageSize": "1048576", "MessageRetentionPeriod": "1209600"}
POLICY = '{"deadLetterTargetArn": "arn", "maxReceiveCount": "3"}'


def of_sqs(told, *, creates=True):
    return sqs.findings(told, prefix="shop-", creates=creates)


@pytest.mark.parametrize("creates", [True, False])
def test_queues_of_sqs_that_are_set_up_well_have_nothing_to_mend(creates):
    found = of_sqs({("shop-mail", False): FINE, ("shop-_dead-mail", True): FINE}, creates=creates)
    assert [(finding.subject, finding.mend) for finding in found] == [
        ("queue shop-mail", ""),
        ("queue shop-_dead-mail", ""),
        ("permissions", ""),
    ]


@pytest.mark.parametrize(
    ("told", "mend"),
    [
        (FINE | {"MessageRetentionPeriod": "3600"}, "raise its MessageRetentionPeriod"),
        (FINE | {"RedrivePolicy": POLICY}, "remove its RedrivePolicy, or raise maxReceiveCount to 10 or more"),
        (None, "create it with a MessageRetentionPeriod of 1209600, or set sqs.create_queues to true"),
        (NotAllowed("not for you"), "allow sqs:GetQueueUrl and sqs:GetQueueAttributes on it"),
        (InvalidName("use a shorter name"), "use a shorter name"),
        (DriverUnavailable("no more requests for now"), "try again: the others have answered"),
    ],
)
def test_each_thing_that_is_wrong_with_a_queue_of_sqs_has_its_mend(told, mend):
    found = of_sqs({("shop-mail", False): FINE, ("shop-_dead-mail", True): told}, creates=False)
    assert [(finding.subject, finding.mend) for finding in found if finding.mend] == [("queue shop-_dead-mail", mend)]


def test_what_sqs_keeps_long_enough_or_takes_away_late_enough_is_well():
    late = POLICY.replace('"3"', "10")
    found = of_sqs({("shop-mail", False): {"MessageRetentionPeriod": "345600", "RedrivePolicy": late}})
    assert (found[0].said, found[0].mend) == ("keeps tasks for 4 days", "")


def test_no_queue_of_sqs_is_well_only_where_they_are_created():
    assert [finding.mend for finding in of_sqs({})] == ["", ""]
    assert [bool(finding.mend) for finding in of_sqs({}, creates=False)] == [True, False]
    assert not of_sqs({("shop-_dead-mail", True): None})[0].mend


def test_queues_of_sqs_that_may_not_be_listed_are_a_finding():
    found = of_sqs(NotAllowed("not for you"))
    assert found[0].mend.startswith("allow sqs:ListQueues")
