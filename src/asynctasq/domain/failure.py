"""How an attempt ended other than well, as a value: what is decided from it is the same wherever the task ran."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from asynctasq.domain.errors import ConfigurationError, TaskError
from asynctasq.domain.steering import Steer, Steering


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """All that is decided from, and kept of, what a task raised. Plain values: the error itself may have stayed elsewhere.

    Attributes:
        kinds: the names of the error's type and of its bases, the most special first (see `kind_of`).
        text: type, message and traceback; bounded, without values of arguments.
        steering: what the task asked for by raising a `Steer`; None if it just failed.
    """

    kinds: tuple[str, ...]
    text: str
    steering: Steering | None = None

    @property
    def name(self) -> str:
        """The type's short name, for people."""
        return self.kinds[0].rpartition(":")[2].rpartition(".")[2]


class FailedElsewhere(TaskError):
    """The attempt failed in another process, and this is all that came back of its error.

    Attributes:
        failure: the error, described where it was raised.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


def kind_of(error: type[BaseException]) -> str:
    """What a type of error is called: `module:qualname`, the same in every process that imports it."""
    return f"{error.__module__}:{error.__qualname__}"


def kinds_of(error: type[BaseException]) -> tuple[str, ...]:
    """What a type of error and its bases are called, the most special first."""
    return tuple(kind_of(base) for base in error.__mro__ if issubclass(base, BaseException))


def checked_kinds(option: str, value: object) -> tuple[str, ...]:
    """The kinds that an option such as `retry_on=(TimeoutError, OSError)` names.

    Raises:
        ConfigurationError: it is neither a type of error nor a tuple of some.
    """
    given = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    if not given:
        raise ConfigurationError(f"{option}=() names no type of error: leave it out")
    return tuple(dict.fromkeys(_checked_kind(option, error) for error in given))


def _checked_kind(option: str, error: object) -> str:
    if not isinstance(error, type) or not issubclass(error, BaseException):
        raise ConfigurationError(
            f"{option}: {error!r} is no type of error; use one such as TimeoutError, or a tuple of them"
        )
    if issubclass(error, Steer):
        raise ConfigurationError(f"{option}: {error.__name__} says by itself what becomes of the task; leave it out")
    return kind_of(error)
