"""The resolver contract has teeth: for each of its promises there is a resolver with one defect, and the promise fails on it."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.toy_orm import Row, ToyDatabase, ToyResolver, ToyWorld

from asynctasq.domain.errors import UndecodableTask
from asynctasq.testing.contract.resolver import ResolverContract

BROKEN: dict[str, type[ToyResolver]] = {}


def breaks(*promises: str) -> Callable[[type[ToyResolver]], type[ToyResolver]]:
    def enter(resolver: type[ToyResolver]) -> type[ToyResolver]:
        for promise in promises:
            assert promise not in BROKEN, f"{promise} is broken twice"
            BROKEN[promise] = resolver
        return resolver

    return enter


@breaks("test_rows_are_owned_and_nothing_else_is")
class OwnsWhatLooksLikeARow(ToyResolver):
    def owns(self, kind):
        return issubclass(kind, Row) or "pk" in getattr(kind, "__annotations__", {})


@breaks("test_a_reference_is_a_label_and_a_key_and_nothing_else", "test_a_large_row_has_no_larger_reference")
class SendsTheRowAlong(ToyResolver):
    def reference(self, row):
        return replace(super().reference(row), alias=row.text)


@breaks("test_a_reference_travels")
class GivesKeysOfItsOwnType(ToyResolver):
    def reference(self, row):
        class Key(type(row.pk)):
            pass

        key = super().reference(row).pk
        return replace(super().reference(row), pk=Key(key) if isinstance(key, int) else key)


@breaks("test_a_row_that_was_never_saved_is_refused", "test_a_row_that_was_deleted_is_refused")
class RefersToAnything(ToyResolver):
    def reference(self, row):
        row.saved = True
        return super().reference(row)


@breaks("test_every_kind_of_key_finds_its_row")
class ReadsKeysAsNumbers(ToyResolver):
    async def resolve(self, refs):
        return [
            row if type(ref.pk) is int else None for ref, row in zip(refs, await super().resolve(refs), strict=True)
        ]


@breaks("test_rows_come_in_the_order_they_were_asked_for")
class GroupsByModel(ToyResolver):
    async def resolve(self, refs):
        return await super().resolve(sorted(refs, key=lambda ref: ref.label))


@breaks("test_no_references_are_no_rows")
class ReadsTheFirstReference(ToyResolver):
    async def resolve(self, refs):
        self.checked(refs[0])
        return await super().resolve(refs)


@breaks("test_a_row_is_as_it_is_now_and_not_as_it_was", "test_two_tasks_never_share_an_object")
class Remembers(ToyResolver):
    def __init__(self, database):
        super().__init__(database)
        self.cache = {}

    async def resolve(self, refs):
        for ref, row in zip(refs, await super().resolve(refs), strict=True):
            self.cache.setdefault((ref.label, ref.pk), row)
        return [self.cache[ref.label, ref.pk] for ref in refs]


@breaks("test_the_same_row_twice_is_one_object")
class FetchesOneByOne(ToyResolver):
    async def resolve(self, refs):
        return [(await ToyResolver.resolve(self, [ref]))[0] for ref in refs]


@breaks("test_a_row_that_is_gone_is_none_beside_the_others", "test_a_row_that_was_deleted_unnoted_is_not_found")
class LeavesOutWhatIsGone(ToyResolver):
    async def resolve(self, refs):
        return [row for row in await super().resolve(refs) if row is not None]


@breaks(
    "test_more_rows_than_a_statement_takes_come_back",
    "test_more_rows_with_composite_keys_than_a_statement_takes_come_back",
)
class TakesAHundred(ToyResolver):
    async def resolve(self, refs):
        return await super().resolve(refs[:100])


@breaks("test_rows_of_several_models_are_fetched_at_the_same_time")
class FetchesOneAfterTheOther(ToyResolver):
    async def gathered(self, by_model):
        return [
            await asyncio.wait_for(self.database.fetch(model, list(keys)), 0.05) for model, keys in by_model.items()
        ]


@breaks("test_a_relation_that_was_not_loaded_raises_and_blocks_nobody")
class LoadsLazily(ToyResolver):
    async def resolve(self, refs):
        class Loading(Row):
            relation = "loaded"

        rows = await super().resolve(refs)
        for row in rows:
            if row is not None:
                row.__class__ = Loading
        return rows


@breaks("test_a_label_that_is_no_models_here_is_refused_and_nothing_is_imported")
class ImportsWhatItIsTold(ToyResolver):
    def checked(self, ref):
        try:
            return super().checked(ref)
        except UndecodableTask:
            importlib.import_module(ref.label.partition(":")[0] or "os")
            raise LookupError(ref.label) from None


@breaks("test_a_database_that_is_not_known_is_refused")
class LooksAtNoAlias(ToyResolver):
    def checked(self, ref):
        return super().checked(replace(ref, alias=None))


@breaks(
    "test_a_key_of_the_wrong_type_is_refused",
    "test_a_composite_key_of_other_types_is_refused",
    "test_without_composite_keys_one_is_refused",
)
class TakesAnyKey(ToyResolver):
    async def resolve(self, refs):
        found = []
        for ref in refs:
            try:
                found += await super().resolve([ref])
            except UndecodableTask:
                if "Row" not in ref.label and "Seat" not in ref.label:
                    raise
                found.append(None)
        return found


@breaks("test_no_connection_is_held_afterwards")
class KeepsItsConnection(ToyResolver):
    async def resolve(self, refs):
        self.database.held += 1
        return await super().resolve(refs)


@breaks("test_no_connection_is_held_after_a_cancellation")
class ForgetsItsConnectionWhenCancelled(ToyResolver):
    async def resolve(self, refs):
        self.database.held += 1
        rows = await super().resolve(refs)
        self.database.held -= 1
        return rows


@breaks("test_a_surrounded_function_does_and_is_what_it_was")
class MakesEverythingACoroutine(ToyResolver):
    def surround(self, function):
        async def around(*args, **kwargs):
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return around


@breaks("test_what_a_surrounded_function_raises_is_raised")
class SwallowsErrors(ToyResolver):
    def surround(self, function):
        def around(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except LookupError:
                return None

        return around


@breaks("test_opening_and_closing_twice_are_harmless")
class OpensOnce(ToyResolver):
    async def open(self):
        if self.opened:
            raise RuntimeError("already open")
        await super().open()


class WithoutCompositeKeys(ToyWorld):
    composite_keys = False


class WithoutNotingDeletions(ToyWorld):
    notes_deletions = False

    async def delete(self, row):
        key = row.pk
        await super().delete(row)
        row.pk, row.saved = key, True


WEAKER = {
    "test_without_composite_keys_one_is_refused": WithoutCompositeKeys,
    "test_a_row_that_was_deleted_unnoted_is_not_found": WithoutNotingDeletions,
}


def world_of(resolver: type[ToyResolver], promise: str) -> ToyWorld:
    database = ToyDatabase()
    return WEAKER.get(promise, ToyWorld)(database, resolver(database))


def run(promise: str, resolver: type[ToyResolver]) -> None:
    test = getattr(ResolverContract, promise)
    parameters: list[dict[str, Any]] = [{}]
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            parameters = [{mark.args[0]: value} for value in mark.args[1]]
    for given in parameters:
        asyncio.run(_bounded(test(ResolverContract(), world_of(resolver, promise), **given)))


async def _bounded(test: Any) -> None:
    async with asyncio.timeout(30):
        await test


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asynctasq.testing.contract.resolver.PATIENCE", 0.3)


@pytest.mark.parametrize("promise", ResolverContract.promises())
def test_a_whole_resolver_keeps_the_promise(promise: str) -> None:
    run(promise, ToyResolver)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("promise", ResolverContract.promises())
def test_a_broken_resolver_fails_the_promise(promise: str) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(promise, BROKEN[promise])


def test_every_promise_has_a_broken_resolver_and_only_promises_have() -> None:
    assert set(BROKEN) == set(ResolverContract.promises())
