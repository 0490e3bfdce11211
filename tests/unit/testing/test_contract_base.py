"""The suite's own machinery, run the way a third party runs it: in a pytest of its own, without our configuration."""

import pytest

from asynctasq.testing.contract.base import Contract, requires

pytest_plugins = ["pytester"]

SUITE = """
import asyncio
from types import SimpleNamespace
import pytest, pytest_asyncio
from asynctasq.testing.contract.base import Contract, refuses, requires

class ThingContract(Contract):
    subject = "thing"

    async def test_it_runs_on_a_loop(self, thing):
        await asyncio.sleep(0)
        assert type(asyncio.get_running_loop()).__module__.startswith(LOOP)

    def test_it_is_plain(self, thing):
        assert thing.is_open

    @requires("fast")
    async def test_it_is_fast(self, thing): assert thing.capabilities.fast

    @refuses("fast")
    async def test_it_is_slow(self, thing): assert not thing.capabilities.fast

    @requires("limit")
    async def test_it_has_a_limit(self, thing): assert thing.capabilities.limit is not None

    @refuses("limit")
    async def test_it_has_no_limit(self, thing): assert thing.capabilities.limit is None

class TestThing(ThingContract):
    @pytest_asyncio.fixture
    async def thing(self):
        thing = SimpleNamespace(is_open=True, capabilities=SimpleNamespace(fast=False, limit=0.0))
        yield thing
        thing.is_open = False
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_suite_runs_in_both_modes_and_on_both_loops(pytester: pytest.Pytester, mode: str, loop: str) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(test_thing=SUITE.replace("LOOP", repr(loop)))
    if loop == "uvloop":
        pytester.makeconftest(
            "import uvloop\n"
            "def pytest_asyncio_loop_factories(config, item):\n"
            "    return {'uvloop': uvloop.new_event_loop}\n"
        )
    result = pytester.runpytest_subprocess(
        "--strict-markers", "--asyncio-mode", mode, "-rs", "-W", "error", "-p", "no:randomly", "-p", "no:xdist"
    )
    result.assert_outcomes(passed=4, skipped=2)
    result.stdout.fnmatch_lines_random(["*not applicable: fast is not declared", "*not applicable: limit is declared"])


def test_a_broken_promise_shows_its_values(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_values="""
        import asynctasq.testing.contract.base as base
        def test_rewritten():
            assert base.__loader__.__class__.__name__ == "AssertionRewritingHook", base.__loader__
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_redefining_a_promise_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match=r"Subject\.test_promise redefines a promise"):

        class Subject(_Promised):
            async def test_promise(self) -> None: ...


def test_removing_a_promise_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match="redefines a promise"):

        class Subject(_Promised):
            test_promise = None  # type: ignore[assignment]


def test_redefining_a_promise_in_a_mixin_is_refused_too() -> None:
    class Mixin:
        async def test_promise(self) -> None: ...

    with pytest.raises(TypeError, match="redefines a promise"):

        class Subject(Mixin, _Promised): ...


@pytest.mark.parametrize("marks", [{"strict": True}, {"reason": "later"}, {"strict": False, "reason": "later"}])
def test_a_gap_that_is_lax_or_without_a_reason_is_refused(marks: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="redefines a promise"):

        class Subject(_Promised):
            @pytest.mark.xfail(**marks)
            async def test_promise(self) -> None: ...


def test_a_known_gap_may_redefine_a_promise_and_keeps_its_gates() -> None:
    class Subject(_Promised):
        @pytest.mark.xfail(strict=True, reason="the broker cannot, see its issue 12")
        async def test_promise(self) -> None: ...

    assert [gate.name for gate in Subject.gates("test_promise")] == ["fast"]


class _Promised(Contract):
    subject = "thing"

    @requires("fast")
    async def test_promise(self) -> None: ...
