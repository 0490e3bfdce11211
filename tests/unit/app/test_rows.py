"""ORM rows among a task's arguments, with an ORM of a few lines: what the app makes of them, whatever the ORM."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict
from tests.toy_orm import Country, Row, Seat, ToyDatabase, ToyResolver
from tests.unit.app.bench import Bench, virtual

from asynctasq.app import container
from asynctasq.app.codec import Codec
from asynctasq.app.resolvers import Known, Resolvers
from asynctasq.app.rows import Rows
from asynctasq.domain.errors import SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.errors import TaskTimeout

DATABASE = ToyDatabase()
SEEN: list[Any] = []


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Every app of a test uses the toy ORM."""
    known = Known(module="tests.toy_orm", build=lambda: ToyResolver(DATABASE))
    monkeypatch.setattr(container, "ORMS", container.ORMS)
    monkeypatch.setitem(container.ORMS, "toy", known)
    DATABASE.__init__()
    SEEN.clear()


def row(pk=1, text="text"):
    return DATABASE.save(Row(pk, text))


async def see(*values: Any, **named: Any) -> None:
    SEEN.append((values, named))


def see_in_thread(value: Any) -> None:
    SEEN.append(value)


@dataclass
class Mail:
    to: Row
    copies: list[Row] = field(default_factory=list)
    subject: str = ""


class Envelope(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    mail: Mail
    sender: Row | None = None


class Pair(NamedTuple):
    first: Row
    second: Row


async def see_mail(mail: Mail, envelope: Envelope | None = None, pair: Pair | None = None) -> None:
    SEEN.append((mail, envelope, pair))


async def see_optional(value: Row | None, mail: Mail | None = None) -> None:
    SEEN.append((value, mail))


async def stored(bench):
    (claim,) = await bench.memory.claim(["default"], limit=1, lease=30, wait=0, worker="a test")
    return claim.message


# Out and back


@virtual
async def test_a_row_arrives_as_it_is_when_the_task_runs():
    bench = Bench()
    given = row(text="before")
    await bench.dispatch(bench.task(see)(given, again=given))
    DATABASE.stored[Row, 1].text = "after"
    await bench.drain()
    ((one,), named) = SEEN[0]
    assert (type(one), one.text) == (Row, "after")
    assert one is named["again"]
    assert one is not given


@virtual
async def test_a_plain_function_is_given_rows_as_well():
    bench = Bench()
    await bench.dispatch(bench.task(see_in_thread)(row()))
    await bench.drain()
    assert SEEN[0].text == "text"


@virtual
async def test_rows_are_found_in_every_container():
    bench = Bench()
    one, two = row(1), row(2)
    seat = DATABASE.save(Seat((1, "a"), "text"))
    value = {
        "list": [one, (two, seat)],
        "deep": {"er": [[{"est": two}]]},
        "set": {one},
        one: frozenset([seat]),
        1: "one",
    }
    await bench.dispatch(bench.task(see)(value, [], ()))
    assert value["list"][0] is one, "what was passed is not touched"
    await bench.drain()
    (((found, *rest), _),) = SEEN
    (first, (second, third)) = found["list"]
    assert (first.pk, second.pk, third.pk, found[1], rest) == (1, 2, (1, "a"), "one", [[], ()])
    assert found["deep"]["er"][0][0]["est"] is second
    assert found["set"] == {first}
    assert found[first] == frozenset([third])


@virtual
async def test_rows_are_found_in_dataclasses_models_and_named_tuples():
    bench = Bench()
    one, two = row(1), row(2)
    mail = Mail(one, [two, one], "hello")
    await bench.dispatch(bench.task(see_mail)(mail, Envelope(mail=mail, sender=two), pair=Pair(one, two)))
    await bench.drain()
    ((found, envelope, pair),) = SEEN
    assert (type(found), type(envelope), type(pair)) == (Mail, Envelope, Pair)
    assert (found.to.pk, found.copies[0].pk, found.subject) == (1, 2, "hello")
    assert found.to is found.copies[1] is envelope.mail.to is pair.first
    assert found.copies[0] is envelope.sender is pair.second


@virtual
async def test_only_label_and_key_are_in_the_message_whatever_the_row_holds():
    bench = Bench()
    sizes = []
    for text in ("", "secret" * 20_000):
        value = row(1, text)
        mail = Mail(value, [value], "hello")
        await bench.dispatch(bench.task(see_mail)(mail, Envelope(mail=mail), Pair(value, value)))
        message = await stored(bench)
        sizes.append(len(message.body))
        assert b"secret" not in message.body
        assert message.body.count(b"toy.Row") == 6
    assert sizes[0] == sizes[1]


@virtual
async def test_a_task_without_rows_fetches_nothing():
    bench = Bench()
    row()
    await bench.dispatch(bench.task(see)({"pk": 1, "orm": "toy", "label": "toy.Row"}))
    await bench.drain()
    assert SEEN == [(({"pk": 1, "orm": "toy", "label": "toy.Row"},), {})]
    assert DATABASE.fetches == 0


@virtual
async def test_all_rows_of_a_task_are_fetched_together():
    bench = Bench()
    rows = [row(pk) for pk in range(100)]
    await bench.dispatch(bench.task(see)(rows, {"more": rows}))
    await bench.drain()
    assert DATABASE.fetches == 1


@pytest.mark.parametrize("make", [lambda n: [[*range(n)]], lambda n: {"a": dict.fromkeys(map(str, range(n)), 1.0)}])
def test_a_long_list_of_plain_values_costs_no_more_calls_than_a_short_one(make):
    resolvers = Resolvers({"toy": Known(module="tests.toy_orm", build=lambda: ToyResolver(DATABASE))})
    rows, calls = Rows(resolvers), []
    rows.refer(1)  # builds the resolver

    def count(frame, event, argument):
        if event == "call":
            calls[-1] += 1

    for length in (10, 1_000):
        value = make(length)
        calls.append(0)
        sys.setprofile(count)
        try:
            assert rows.refer(value) is value
        finally:
            sys.setprofile(None)
    assert calls[0] == calls[1]


# What is refused at dispatch


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda f, new: f(1, new), "values[1]"),
        (lambda f, new: f(named=[{"a": (new,)}]), "named"),
    ],
)
def test_a_row_that_was_never_saved_is_refused_by_the_arguments_name(call, name):
    @virtual
    async def run():
        bench = Bench()
        with pytest.raises(SerializationError) as refusal:
            await bench.dispatch(call(bench.task(see), Row(5)))
        assert f"argument {name!r} of task 't:see': this Row was never saved" in str(refusal.value)

    run()


@virtual
async def test_a_row_in_what_contains_itself_is_refused():
    bench = Bench()
    value: list[Any] = [row()]
    value.append(value)
    with pytest.raises(SerializationError, match=r"values\[0\].*contains itself"):
        await bench.dispatch(bench.task(see)(value))


@virtual
async def test_a_row_in_what_does_not_travel_is_refused_for_that():
    bench = Bench()
    with pytest.raises(SerializationError, match="OrderedDict"):
        await bench.dispatch(bench.task(see)(OrderedDict(a=row())))


@virtual
async def test_another_thing_where_a_row_is_annotated_is_refused():
    bench = Bench()
    for other in (Country, 1, "text", {"pk": 1}):
        with pytest.raises(SerializationError, match=r"argument 'mail' .* annotation"):
            await bench.dispatch(bench.task(see_mail)(Mail(other)))


# What becomes of a row that is gone


@virtual
async def test_a_task_whose_row_is_gone_is_a_dead_letter_at_once():
    bench = Bench()
    gone = row(5)
    await bench.dispatch(bench.task(see, max_attempts=5)(gone))
    DATABASE.delete(gone)
    await bench.drain()
    (dead,) = await bench.dead()
    assert (dead.reason, dead.attempts, SEEN) == ("a row among its arguments is gone", 1, [])
    assert dead.error == "no longer in the database: toy.Row 5; set on_missing, if the task can do without"


@virtual
async def test_a_task_whose_row_is_gone_is_discarded_where_that_is_asked_for():
    bench = Bench()
    gone = row()
    await bench.dispatch(bench.task(see, on_missing="discard")(gone))
    DATABASE.delete(gone)
    worker = await bench.drain()
    assert (await bench.dead(), await bench.ready(), SEEN) == ([], (0, 0, 0), [])
    assert worker.counts == {"Discard": 1}


@virtual
async def test_none_takes_the_place_of_a_row_that_is_gone_where_that_is_asked_for():
    bench = Bench()
    gone, there = row(1), row(2)
    await bench.dispatch(bench.task(see, on_missing="none")([gone, there], also=gone))
    await bench.dispatch(bench.task(see_optional, on_missing="none")(gone))
    DATABASE.delete(gone)
    await bench.drain()
    ((rows,), named) = SEEN[0]
    assert (rows[0], rows[1].pk, named) == (None, 2, {"also": None})
    assert SEEN[1] == (None, None)


@virtual
async def test_none_does_not_take_a_place_whose_annotation_has_no_room_for_it():
    bench = Bench()
    gone = row()
    await bench.dispatch(bench.task(see_mail, on_missing="none")(Mail(gone)))
    DATABASE.delete(gone)
    await bench.drain()
    (dead,) = await bench.dead()
    assert "argument 'mail' of task 't:see_mail' does not fit its annotation" in dead.reason


@virtual
async def test_a_discarded_task_is_told_of():
    bench = Bench()
    gone = row()
    id = await bench.dispatch(bench.task(see, on_missing="discard")(gone))
    DATABASE.delete(gone)
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("asynctasq.worker")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        await bench.drain()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert f"task {id} (t:see) is discarded: a row among its arguments is gone" in [it.getMessage() for it in records]


# What becomes of a fetch that fails


@virtual
async def test_a_fetch_that_fails_is_a_failed_attempt_and_is_retried():
    bench = Bench()
    await bench.dispatch(bench.task(see, retry_delay=30)(row()))
    DATABASE.error = ConnectionError("the database is away")
    async with bench.working():
        await asyncio.sleep(10)
        assert (await bench.ready(), SEEN) == ((0, 1, 0), [])
        DATABASE.error = None
        await asyncio.sleep(30)
        assert len(SEEN) == 1


@virtual
async def test_the_last_fetch_that_fails_is_a_dead_letter_with_its_error():
    bench = Bench()
    await bench.dispatch(bench.task(see, max_attempts=1)(row()))
    DATABASE.error = ConnectionError("the database is away")
    await bench.drain()
    (dead,) = await bench.dead()
    assert "ConnectionError: the database is away" in dead.error


@pytest.mark.parametrize(("timeout", "limit"), [(5, 5), (None, 60), (600, 60)])
def test_a_fetch_that_hangs_ends_in_time(timeout, limit):
    @virtual
    async def run():
        bench = Bench()
        options = {} if timeout is None else {"timeout": timeout}
        await bench.dispatch(bench.task(see, max_attempts=1, **options)(row()))
        DATABASE.barrier = asyncio.Barrier(2)
        began = asyncio.get_running_loop().time()
        await bench.drain()
        assert limit <= asyncio.get_running_loop().time() - began < limit + 1
        (dead,) = await bench.dead()
        assert f"{TaskTimeout.__name__}: the rows among its arguments were not fetched within {limit} s" in dead.error
        assert DATABASE.held == 0

    run()


@virtual
async def test_a_timeout_of_the_orm_is_its_own():
    bench = Bench()
    await bench.dispatch(bench.task(see, max_attempts=1)(row()))
    DATABASE.error = TimeoutError("the pool is empty")
    await bench.drain()
    (dead,) = await bench.dead()
    assert "TimeoutError: the pool is empty" in dead.error


@virtual
async def test_a_task_that_waits_for_its_rows_is_given_back_by_a_worker_that_stops():
    bench = Bench()
    await bench.dispatch(bench.task(see, max_attempts=1)(row()))
    DATABASE.barrier = asyncio.Barrier(2)
    async with bench.working():
        await asyncio.sleep(1)
        assert DATABASE.held == 1
    assert (await bench.ready(), await bench.dead(), DATABASE.held) == ((1, 0, 0), [], 0)


@virtual
async def test_a_task_that_waits_for_its_rows_keeps_its_lease():
    bench = Bench()
    await bench.dispatch(bench.task(see)(row()))
    DATABASE.barrier = asyncio.Barrier(2)
    async with bench.working(lease=3):
        await asyncio.sleep(20)
        assert await bench.ready() == (0, 0, 1)
        await DATABASE.barrier.wait()
        await asyncio.sleep(1)
        assert len(SEEN) == 1


# What is refused on the worker


def codec():
    return Codec(container.MsgpackSerializer())


def forged(bench, *args, **kwargs):
    bench.app._codec = codec()
    return bench.dispatch(bench.task(see_mail if kwargs else see)(*args, **kwargs))


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        (ModelRef(orm="toy", label="os:system", pk=1), "knows no toy model 'os:system'"),
        (ModelRef(orm="toy", label="toy.Row", pk="1"), "wrong key"),
        (ModelRef(orm="toy", label="toy.Row", pk=ModelRef(orm="toy", label="toy.Row", pk=1)), "wrong key"),
        (
            ModelRef(orm="hibernate", label="Row", pk=1),
            "a row of 'hibernate', of which this worker has imported no model",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_undecodable(ref, reason):
    @virtual
    async def run():
        bench = Bench()
        row()
        await forged(bench, ref)
        await bench.drain()
        (dead,) = await bench.dead()
        assert dead.reason.startswith("undecodable: ")
        assert reason in dead.reason
        assert (SEEN, DATABASE.held) == ([], 0)

    run()


class Buildable(Row):
    """A model that pydantic could build out of a dict, as it could one of SQLModel."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        from pydantic_core import core_schema

        fields = {"pk": core_schema.model_field(core_schema.int_schema())}
        return core_schema.model_schema(cls, core_schema.model_fields_schema(fields), custom_init=True)


@dataclass
class Holder:
    row: Buildable


async def see_holder(holder: Holder) -> None:
    SEEN.append(holder)


@virtual
async def test_a_dict_never_becomes_a_row_whatever_the_annotation_says():
    bench = Bench()
    with pytest.raises(SerializationError):
        await bench.dispatch(bench.task(see_holder)({"row": {"pk": 1}}))
    task = bench.task(see_holder)
    plain = type("Plain", (), {"plain": True, "name": lambda self, place: place})()
    message, _ = bench.app._message(task({"row": {"pk": 1}}).task(bench.app.defaults), plain)
    await bench.memory.connect()
    await bench.memory.enqueue([message])
    await bench.drain()
    (dead,) = await bench.dead()
    assert "argument 'holder' of task 't:see_holder' has plain data where its annotation has a row" in dead.reason
    assert SEEN == []


# Which ORMs are in use


def test_an_orm_that_nobody_imported_is_not_built():
    resolvers = Resolvers({"toy": Known(module="no_such_orm", build=lambda: pytest.fail("built"))})
    assert Rows(resolvers).known() is None
    with pytest.raises(UndecodableTask, match="imported no model"):
        asyncio.run(Rows(resolvers).fetch([ModelRef(orm="toy", label="toy.Row", pk=1)]))


def test_an_orm_that_is_imported_later_is_seen(monkeypatch):
    import types

    resolvers = Resolvers({"toy": Known(module="late_orm", build=lambda: ToyResolver(DATABASE))})
    assert Rows(resolvers).known() is None
    monkeypatch.setitem(sys.modules, "late_orm", types.ModuleType("late_orm"))
    known = Rows(resolvers).known()
    assert known is not None
    assert known(Row)
    assert not known(int)
