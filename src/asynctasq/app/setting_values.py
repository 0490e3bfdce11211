"""What the values of settings may be: each kind is a type that pydantic checks, and its errors say what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.retry import RetryPolicy, check_seconds
from asynctasq.domain.task import TaskConfig


def no_bool(value: object) -> object:
    """Refuse True and False, which pydantic would take for numbers."""
    if isinstance(value, bool):
        raise ValueError("use a number")  # noqa: TRY004  pydantic turns a ValueError, not a TypeError, into its report
    return value


def _comma_separated(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def lower(value: object) -> object:
    """A text in small letters."""
    return value.lower() if isinstance(value, str) else value


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("name at least one queue")
    return tuple(dict.fromkeys(names))


def a_driver(driver: object) -> object:
    """Refuse a driver that is none."""
    if driver is None or driver == "":
        raise ValueError("name a driver, such as 'sqlite', or leave the setting out")
    return driver


def a_file(path: Path) -> Path:
    """Refuse a path that is no file's."""
    if path.name == ":memory:":
        raise ValueError("a queue in memory is another driver: use driver='memory'")
    if not path.name:
        raise ValueError("name a file, such as 'queue.db'")
    return path


def _checked(check: Callable[[str, float], object]) -> AfterValidator:
    def validate(value: float, info: ValidationInfo) -> float:
        check(info.field_name or "", value)
        return value

    return AfterValidator(validate)


Whole = Annotated[int, BeforeValidator(no_bool)]
Seconds = Annotated[float, BeforeValidator(no_bool), _checked(check_seconds)]
MaxAttempts = Annotated[Whole, _checked(lambda _, value: RetryPolicy(max_attempts=int(value)))]
Timeout = Annotated[float, BeforeValidator(no_bool), _checked(lambda _, value: TaskConfig(timeout=value))]
QueueName = Annotated[str, AfterValidator(check_queue_name)]
Names = Annotated[tuple[str, ...], BeforeValidator(_comma_separated)]
QueueNames = Annotated[tuple[QueueName, ...], BeforeValidator(_comma_separated), AfterValidator(_each_once)]
