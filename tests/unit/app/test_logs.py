"""Log records: text for people, JSON for machines, each with the task it was made under."""

import io
import json
import logging
import warnings

import pytest

from asynctasq.app import logs
from asynctasq.app.context import CURRENT, CurrentTask


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def configure():
    """Configures logging until the end of the test."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    # Left on by a command of another test, it would count as on, and pytest has put its own way to show warnings in place since.
    logging.captureWarnings(False)

    def configured(level="info", format="json", stream=None):
        stream = stream or io.StringIO()
        logs.configure(level, format, stream=stream)
        return stream

    yield configured
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def running():
    task = CurrentTask(id="0197", name="shop.tasks:send", attempt=2, queue="emails")
    token = CURRENT.set(lambda: task)
    yield task
    CURRENT.reset(token)


log = logging.getLogger("shop")


def test_a_record_is_one_line_of_json(configure):
    stream = configure()
    log.info("sold %d\nthings", 3)
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"], record["msg"]) == ("info", "shop", "sold 3\nthings")
    assert record["ts"].endswith("Z")
    assert set(record) == {"ts", "level", "logger", "msg"}


def test_a_users_record_under_a_task_carries_the_task(configure, running):
    stream = configure()
    log.warning("out of stock")
    record = json.loads(stream.getvalue())
    assert (record["task"], record["task_id"]) == (running.name, running.id)
    assert (record["attempt"], record["queue"]) == (2, "emails")


def test_what_a_record_was_given_stays_and_is_shown(configure, running):
    stream = configure()
    log.info("moved", extra={"queue": "theirs", "event": "stock.moved", "odd": {1, 2}, "level": "no", "ts": 0})
    record = json.loads(stream.getvalue())
    assert (record["queue"], record["event"], record["odd"]) == ("theirs", "stock.moved", "{1, 2}")
    assert record["level"] == "info"
    assert record["ts"] != 0


def test_an_exception_is_part_of_its_line(configure):
    stream = configure()
    try:
        {}["gone"]
    except KeyError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["exc_type"] == "KeyError"
    assert record["exc"].startswith("Traceback")


def test_text_shows_the_task_at_the_end_of_the_line(configure, running):
    stream = configure(format="text")
    log.warning("out of stock")
    line = stream.getvalue()
    assert " WARNING shop: out of stock [task=shop.tasks:send task_id=0197 attempt=2 queue=emails]\n" in line


def test_text_outside_a_task_has_nothing_at_the_end(configure):
    stream = configure(format="text")
    log.info("ready")
    assert stream.getvalue().endswith(" INFO    shop: ready\n")


def test_auto_is_text_on_a_terminal_and_json_elsewhere(configure):
    terminal, pipe = configure(format="auto", stream=Terminal()), None
    log.info("hello")
    assert terminal.getvalue().endswith("shop: hello\n")
    pipe = configure(format="auto")
    log.info("hello")
    assert json.loads(pipe.getvalue())["msg"] == "hello"


def test_records_below_the_level_are_dropped(configure):
    stream = configure(level="warning")
    log.info("no")
    log.warning("yes")
    assert [json.loads(line)["msg"] for line in stream.getvalue().splitlines()] == ["yes"]


def test_configuring_again_replaces_the_first_and_leaves_others_alone(configure):
    root = logging.getLogger()
    theirs = logging.NullHandler()
    root.addHandler(theirs)
    first, second = configure(), configure()
    log.info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
    assert theirs in root.handlers


def test_warnings_are_log_records_too(configure):
    stream = configure()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever the collector finds of other tests at this moment
        warnings.filterwarnings("always", "old")
        warnings.warn("old", stacklevel=1)
    assert json.loads(stream.getvalue())["logger"] == "py.warnings"
