"""What every contract suite shares: gates on capabilities, and a guard against promises that are quietly redefined."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest

_Test = TypeVar("_Test", bound=Callable[..., Any])

_GATES = "__contract_gates__"

PROMISE = "__contract_promise__"
"""An attribute of a test case that is a promise as a whole, and no subclass of `Contract`: the promise, as a sentence."""


@dataclass(frozen=True, slots=True)
class Gate:
    """When a promise applies: only to subjects that do (or do not) declare a capability."""

    capability: str | type
    declared: bool

    @property
    def name(self) -> str:
        """The capability as people write it."""
        return self.capability if isinstance(self.capability, str) else self.capability.__name__


def requires(capability: str | type) -> Callable[[_Test], _Test]:
    """This promise is made only by subjects that declare `capability`.

    Args:
        capability: the name of a capability, or an optional Protocol that the subject may implement.
    """
    return _gated(Gate(capability, declared=True))


def refuses(capability: str | type) -> Callable[[_Test], _Test]:
    """This promise is made only by subjects that do not declare `capability`: the other half of a `requires`."""
    return _gated(Gate(capability, declared=False))


def _gated(gate: Gate) -> Callable[[_Test], _Test]:
    def mark(test: _Test) -> _Test:
        setattr(test, _GATES, (*getattr(test, _GATES, ()), gate))
        return test

    return mark


class Contract:
    """The base of every contract suite.

    A third party subclasses a suite once, names the class `Test...` and overrides the fixture called `subject`. Test methods
    that are coroutine functions are marked for pytest-asyncio here, so its strict mode runs them as its auto mode does.
    A promise that does not apply is reported as skipped with "not applicable: ...", never as passed.

    Redefining a promise is a TypeError at import, unless the new definition is marked
    `@pytest.mark.xfail(strict=True, reason=...)`: a known gap stays visible, and ends when it is closed.

    Attributes:
        subject: the name of the fixture that gives what is tested.
    """

    subject: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, value in list(vars(cls).items()):
            if name.startswith("test_") and inspect.iscoroutinefunction(value):
                pytest.mark.asyncio(value)
        for name in cls.promises():
            if _is_redefined(cls, name) and not _is_known_gap(getattr(cls, name)):
                raise TypeError(
                    f"{cls.__qualname__}.{name} redefines a promise of the contract: fix the subject instead, or keep "
                    "the gap visible with @pytest.mark.xfail(strict=True, reason='...')"
                )

    @classmethod
    def promises(cls) -> list[str]:
        """The names of all promises."""
        return list(
            dict.fromkeys(
                name
                for base in cls.__mro__
                if issubclass(base, Contract)
                for name in vars(base)
                if name.startswith("test_")
            )
        )

    @classmethod
    def gates(cls, promise: str) -> tuple[Gate, ...]:
        """The gates of a promise, also when a known gap redefines it."""
        return tuple(gate for base in cls.__mro__ for gate in getattr(vars(base).get(promise), _GATES, ()))

    def declares(self, subject: Any, capability: str | type) -> bool:
        """Whether `subject` declares a capability.

        An optional Protocol is declared by implementing it, a limit by being a number rather than None, anything else by
        being true. Capabilities are read from `subject.capabilities`, or from the subject itself where it has none.
        """
        if isinstance(capability, type):
            return isinstance(subject, capability)
        value = getattr(getattr(subject, "capabilities", subject), capability)
        return value is not None and value is not False

    def inapplicable(self, promise: str, subject: Any) -> str | None:
        """Why a promise does not apply to `subject`; None if it does."""
        for gate in self.gates(promise):
            if self.declares(subject, gate.capability) is not gate.declared:
                return f"not applicable: {gate.name} is {'not ' if gate.declared else ''}declared"
        return None

    @pytest.fixture(autouse=True)
    def _applicable(self, request: pytest.FixtureRequest) -> None:
        promise = request.function.__name__
        if self.gates(promise) and (reason := self.inapplicable(promise, request.getfixturevalue(self.subject))):
            pytest.skip(reason)


def _is_redefined(cls: type, name: str) -> bool:
    definitions = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
    return definitions[0] is not definitions[-1]


def _is_known_gap(test: object) -> bool:
    return any(
        mark.name == "xfail" and mark.kwargs.get("strict") is True and mark.kwargs.get("reason")
        for mark in getattr(test, "pytestmark", ())
    )
