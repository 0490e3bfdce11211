"""What every resolver promises: see `asynctasq.ports.resolver`.

class TestMyResolver(ResolverContract):
    @pytest_asyncio.fixture
    async def world(self):
        world = MyWorld()       # a ResolverWorld: models of each kind, in a database
        yield world
        await world.resolver.close()
"""

# ruff: noqa: D102  the name of a promise says what it means

from __future__ import annotations

import asyncio
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID, uuid4

import pytest

from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.domain.errors import SerializationError, UndecodableTask
from asynctasq.domain.message import ModelRef
from asynctasq.ports.resolver import ModelResolver
from asynctasq.testing.contract.base import Contract, refuses, requires
from asynctasq.testing.contract.values import assert_exact

PATIENCE = 10.0
"""Seconds until what should happen at once is taken for what never will: generous, for crowded machines."""

Kind = Literal["int", "uuid", "str", "date", "child"]
"""Models by the type of their key; "child" inherits from "int" and has a relation that is not loaded with it."""

KINDS: tuple[Kind, ...] = get_args(Kind)

LARGE = 100_000
"""Characters of a column that must not travel."""


class ResolverWorld(ABC):
    """A database, models of one ORM in it, and the resolver: what the suite needs to try the promises.

    Attributes:
        resolver: the subject.
        composite_keys: whether the ORM has them. If so there is one more kind, "composite": an int and a str, in this order.
        notes_deletions: whether a row of the ORM knows that it was deleted.
    """

    resolver: ModelResolver
    composite_keys: ClassVar[bool] = True
    notes_deletions: ClassVar[bool] = True

    @abstractmethod
    async def save(self, kind: str, *, text: str = "") -> Any:
        """A new row with a key of its own and this text, committed."""

    @abstractmethod
    def build(self, kind: str) -> Any:
        """A row that was never saved; its key is set already where that is possible."""

    @abstractmethod
    async def change(self, row: Any, text: str) -> None:
        """Give the row in the database, not `row`, another text."""

    @abstractmethod
    async def delete(self, row: Any) -> None:
        """Delete the row, by means of the ORM."""

    @abstractmethod
    def text(self, row: Any) -> str:
        """The text of a row."""

    @abstractmethod
    def relation(self, child: Any) -> object:
        """Use what is behind the relation of a "child", without awaiting anything."""

    @abstractmethod
    def held(self) -> int:
        """Connections that somebody has out of the pool, or holds open, at this moment."""

    @abstractmethod
    def meeting(self, statements: int) -> AbstractAsyncContextManager[None]:
        """A time in which no statement is answered before so many of them are under way."""


class ResolverContract(Contract):
    """Subclass it and give the fixture `world`."""

    subject = "world"

    # What is a row

    async def test_rows_are_owned_and_nothing_else_is(self, world: ResolverWorld) -> None:
        rows: Sequence[object] = [await world.save(kind) for kind in _kinds(world)]
        assert all(world.resolver.owns(row.__class__) for row in rows)
        for other in _NO_MODELS:
            assert not world.resolver.owns(other)

    # Out

    async def test_a_reference_is_a_label_and_a_key_and_nothing_else(self, world: ResolverWorld) -> None:
        for kind in _kinds(world):
            row = await world.save(kind, text="the secret of the row")
            ref = world.resolver.reference(row)
            assert (ref.orm, type(ref.label)) == (world.resolver.orm, str)
            assert type(row).__name__ in ref.label
            assert "secret" not in repr(ref)
            assert type(ref.pk) is _TYPES[kind]

    async def test_a_large_row_has_no_larger_reference(self, world: ResolverWorld) -> None:
        for kind in _kinds(world):
            sizes = [
                len(_dumped(replace(world.resolver.reference(row), pk=None)))
                for row in (await world.save(kind), await world.save(kind, text="x" * LARGE))
            ]
            assert sizes[0] == sizes[1] < 150

    async def test_a_reference_travels(self, world: ResolverWorld) -> None:
        for kind in _kinds(world):
            ref = world.resolver.reference(await world.save(kind))
            assert_exact(_loaded(_dumped(ref)), ref)

    async def test_a_row_that_was_never_saved_is_refused(self, world: ResolverWorld) -> None:
        for kind in _kinds(world):
            with pytest.raises(SerializationError, match=type(world.build(kind)).__name__):
                world.resolver.reference(world.build(kind))

    @requires("notes_deletions")
    async def test_a_row_that_was_deleted_is_refused(self, world: ResolverWorld) -> None:
        row = await world.save("int")
        await world.delete(row)
        with pytest.raises(SerializationError, match=type(row).__name__):
            world.resolver.reference(row)

    @refuses("notes_deletions")
    async def test_a_row_that_was_deleted_unnoted_is_not_found(self, world: ResolverWorld) -> None:
        row = await world.save("int")
        await world.delete(row)
        assert list(await world.resolver.resolve([world.resolver.reference(row)])) == [None]

    # And back

    async def test_every_kind_of_key_finds_its_row(self, world: ResolverWorld) -> None:
        for kind in _kinds(world):
            rows = [await world.save(kind, text=f"{kind} {number}") for number in range(3)]
            refs = [_travelled(world, row) for row in rows]
            for found in (await world.resolver.resolve(refs), [(await world.resolver.resolve([it]))[0] for it in refs]):
                assert [(type(it), world.text(it)) for it in found] == [(type(it), world.text(it)) for it in rows]

    async def test_rows_come_in_the_order_they_were_asked_for(self, world: ResolverWorld) -> None:
        rows = [await world.save(kind, text=f"{kind} {number}") for number in range(3) for kind in _kinds(world)]
        for asked in (rows, rows[::-1]):
            found = await world.resolver.resolve([_travelled(world, row) for row in asked])
            assert [world.text(row) for row in found] == [world.text(row) for row in asked]

    async def test_no_references_are_no_rows(self, world: ResolverWorld) -> None:
        assert list(await world.resolver.resolve([])) == []

    async def test_a_row_is_as_it_is_now_and_not_as_it_was(self, world: ResolverWorld) -> None:
        row = await world.save("int", text="before")
        ref = _travelled(world, row)
        for now in ("after", "later"):
            await world.change(row, now)
            (found,) = await world.resolver.resolve([ref])
            assert world.text(found) == now

    async def test_the_same_row_twice_is_one_object(self, world: ResolverWorld) -> None:
        one, other = await world.save("int"), await world.save("int")
        ref = world.resolver.reference(one)
        first, second, third = await world.resolver.resolve([ref, world.resolver.reference(other), replace(ref)])
        assert first is third
        assert first is not second

    async def test_two_tasks_never_share_an_object(self, world: ResolverWorld) -> None:
        ref = world.resolver.reference(await world.save("int"))
        (first,), (second,) = await asyncio.gather(world.resolver.resolve([ref]), world.resolver.resolve([ref]))
        assert first is not second

    async def test_a_row_that_is_gone_is_none_beside_the_others(self, world: ResolverWorld) -> None:
        for kind in _kinds(world):
            kept, gone = await world.save(kind, text="kept"), await world.save(kind)
            refs = [_travelled(world, row) for row in (gone, kept, gone)]
            await world.delete(gone)
            first, second, third = await world.resolver.resolve(refs)
            assert (first, third) == (None, None)
            assert world.text(second) == "kept"
            assert list(await world.resolver.resolve(refs[:1])) == [None]

    async def test_more_rows_than_a_statement_takes_come_back(self, world: ResolverWorld) -> None:
        ref = world.resolver.reference(await world.save("int", text="the one"))
        assert isinstance(ref.pk, int)
        # The others are not there: a thousand keys are asked for all the same.
        refs = [ref, *(replace(ref, pk=ref.pk + number) for number in range(1, 1_200))]
        found = await world.resolver.resolve(refs)
        assert len(found) == len(refs)
        assert world.text(found[0]) == "the one"

    @requires("composite_keys")
    async def test_more_rows_with_composite_keys_than_a_statement_takes_come_back(self, world: ResolverWorld) -> None:
        rows = [await world.save("composite", text=f"{number}") for number in range(3)]
        refs = [world.resolver.reference(row) for row in rows]
        others = [replace(refs[0], pk=(number, f"é'{number}")) for number in range(-400, 0)]
        found = await world.resolver.resolve([*refs, *others, *refs])
        assert [world.text(row) for row in (*found[:3], *found[-3:])] == ["0", "1", "2"] * 2
        assert set(found[3:-3]) == {None}

    async def test_rows_of_several_models_are_fetched_at_the_same_time(self, world: ResolverWorld) -> None:
        refs = [world.resolver.reference(await world.save(kind)) for kind in ("int", "uuid", "str")]
        await world.resolver.resolve(refs)
        async with world.meeting(3):
            found = await asyncio.wait_for(world.resolver.resolve(refs), PATIENCE)
        assert None not in found

    async def test_a_relation_that_was_not_loaded_raises_and_blocks_nobody(self, world: ResolverWorld) -> None:
        (child,) = await world.resolver.resolve([world.resolver.reference(await world.save("child"))])
        with pytest.raises(Exception) as raised:  # noqa: PT011 each ORM has its own
            world.relation(child)
        assert str(raised.value)

    # What is refused

    @pytest.mark.parametrize(
        "label",
        ["", ":", "nothing", "no.such:Model", "os:system", "builtins:dict", "asynctasq.testing:pytest", "a.b.c"],
    )
    async def test_a_label_that_is_no_models_here_is_refused_and_nothing_is_imported(
        self, world: ResolverWorld, label: str
    ) -> None:
        ref = replace(world.resolver.reference(await world.save("int")), label=label)
        before = set(sys.modules)
        with pytest.raises(UndecodableTask, match="knows no"):
            await world.resolver.resolve([ref])
        assert set(sys.modules) == before

    async def test_a_database_that_is_not_known_is_refused(self, world: ResolverWorld) -> None:
        ref = replace(world.resolver.reference(await world.save("int")), alias="no such database")
        with pytest.raises(UndecodableTask, match="database"):
            await world.resolver.resolve([ref])

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_key_of_the_wrong_type_is_refused(self, world: ResolverWorld, kind: Kind) -> None:
        ref = world.resolver.reference(await world.save(kind))
        for value in (1, True, "1 OR 1=1", 1.0, b"1", None, uuid4(), date(2024, 1, 1), [1], {"id": 1}, (1, "1")):
            if type(value) is not _TYPES[kind]:
                with pytest.raises(UndecodableTask, match="key") as refusal:
                    await world.resolver.resolve([ref, replace(ref, pk=value)])
                assert "1=1" not in str(refusal.value), "the key is shown"

    @requires("composite_keys")
    async def test_a_composite_key_of_other_types_is_refused(self, world: ResolverWorld) -> None:
        ref = world.resolver.reference(await world.save("composite"))
        for value in ((), (1,), ("1", "1"), (1, 1), (1, "1", 1), [1, "1"], 1, "1", None):
            with pytest.raises(UndecodableTask, match="key"):
                await world.resolver.resolve([replace(ref, pk=value)])

    @refuses("composite_keys")
    async def test_without_composite_keys_one_is_refused(self, world: ResolverWorld) -> None:
        ref = world.resolver.reference(await world.save("int"))
        with pytest.raises(UndecodableTask, match="key"):
            await world.resolver.resolve([replace(ref, pk=(1, 2))])

    # What is left behind

    async def test_no_connection_is_held_afterwards(self, world: ResolverWorld) -> None:
        refs = [world.resolver.reference(await world.save(kind)) for kind in _kinds(world)]
        await world.resolver.resolve(refs)
        assert world.held() == 0
        with pytest.raises(UndecodableTask):
            await world.resolver.resolve([*refs, replace(refs[0], label="no.such:Model")])
        assert world.held() == 0

    async def test_no_connection_is_held_after_a_cancellation(self, world: ResolverWorld) -> None:
        refs = [world.resolver.reference(await world.save(kind)) for kind in _kinds(world)]
        for turns in range(40):
            fetching = asyncio.ensure_future(world.resolver.resolve(refs))
            for _ in range(turns):
                await asyncio.sleep(0)
            fetching.cancel()
            await asyncio.wait([fetching])
        async with asyncio.timeout(PATIENCE):
            while world.held():  # noqa: ASYNC110 a thread ends its statement first, and has no event for it
                await asyncio.sleep(0.01)
        assert None not in await world.resolver.resolve(refs)

    # Around a task

    async def test_a_surrounded_function_does_and_is_what_it_was(self, world: ResolverWorld) -> None:
        def plain(one: int, *, two: int) -> int:
            return one + two

        async def coroutine(one: int, *, two: int) -> int:
            return one - two

        around_plain, around_coroutine = world.resolver.surround(plain), world.resolver.surround(coroutine)
        assert (inspect.iscoroutinefunction(around_plain), inspect.iscoroutinefunction(around_coroutine)) == (
            False,
            True,
        )
        assert await asyncio.to_thread(around_plain, 1, two=2) == 3
        assert await around_coroutine(1, two=2) == -1

    async def test_what_a_surrounded_function_raises_is_raised(self, world: ResolverWorld) -> None:
        def plain() -> None:
            raise LookupError("plain")

        async def coroutine() -> None:
            raise LookupError("coroutine")

        with pytest.raises(LookupError, match="plain"):
            await asyncio.to_thread(world.resolver.surround(plain))
        with pytest.raises(LookupError, match="coroutine"):
            await world.resolver.surround(coroutine)()

    # Life

    async def test_opening_and_closing_twice_are_harmless(self, world: ResolverWorld) -> None:
        ref = world.resolver.reference(await world.save("int", text="still there"))
        await world.resolver.open()
        await world.resolver.open()
        (found,) = await world.resolver.resolve([ref])
        assert world.text(found) == "still there"
        await world.resolver.close()
        await world.resolver.close()
        assert world.held() == 0


@dataclass
class _Lookalike:
    id: int = 1
    pk: int = 1


_TYPES: dict[str, type] = {"int": int, "uuid": UUID, "str": str, "date": date, "child": int, "composite": tuple}

_NO_MODELS: Sequence[type[Any]] = (int, str, dict, list, type, object, ModelRef, ValueError, _Lookalike, UUID, date)

_SERIALIZER = MsgpackSerializer()


def _kinds(world: ResolverWorld) -> tuple[str, ...]:
    return (*KINDS, "composite") if world.composite_keys else KINDS


def _dumped(value: object) -> bytes:
    return _SERIALIZER.dumps(value, id="1", queue="default")


def _loaded(body: bytes) -> object:
    return _SERIALIZER.loads(body, id="1", queue="default")


def travelled(ref: ModelRef) -> ModelRef:
    """A reference after its way through a message."""
    loaded = _loaded(_dumped(ref))
    assert isinstance(loaded, ModelRef)
    return loaded


def _travelled(world: ResolverWorld, row: Any) -> ModelRef:
    return travelled(world.resolver.reference(row))
