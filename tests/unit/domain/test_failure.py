"""What errors are called, so that a worker can decide on one that was raised in another process."""

from __future__ import annotations

import json

import pytest

from asynctasq.domain.errors import ConfigurationError, TaskTimeout
from asynctasq.domain.failure import Failure, checked_kinds, kinds_of
from asynctasq.domain.steering import RetryLater, Snooze


class Ours(Exception):
    class Special(LookupError, ValueError):
        pass


def test_an_error_is_called_by_its_type_and_its_bases_the_most_special_first() -> None:
    kinds = kinds_of(Ours.Special)
    assert kinds[0] == f"{__name__}:Ours.Special"
    assert kinds[1:] == ("builtins:LookupError", "builtins:ValueError", "builtins:Exception", "builtins:BaseException")


def test_an_alias_of_an_error_is_the_same_kind() -> None:
    assert checked_kinds("retry_on", (IOError, OSError)) == ("builtins:OSError",)


def test_the_short_name_of_a_kind_is_for_people() -> None:
    assert Failure(kinds=kinds_of(Ours.Special), text="").name == "Special"
    assert Failure(kinds=kinds_of(TaskTimeout), text="").name == "TaskTimeout"


def test_kinds_are_plain_values_that_any_pipe_can_carry() -> None:
    assert tuple(json.loads(json.dumps(kinds_of(TaskTimeout)))) == kinds_of(TaskTimeout)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((), "names no type of error"),
        ("ValueError", "'ValueError' is no type of error"),
        (ValueError("x"), "ValueError('x') is no type of error"),
        (int, "<class 'int'> is no type of error"),
        ((ValueError, None), "None is no type of error"),
        ([ValueError], "[<class 'ValueError'>] is no type of error"),
        (RetryLater, "RetryLater says by itself what becomes of the task"),
        ((ValueError, Snooze), "Snooze says by itself what becomes of the task"),
    ],
)
def test_what_is_no_type_of_error_is_refused_by_the_options_name_and_the_value(value: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked_kinds("retry_on", value)
    assert str(refused.value).startswith("retry_on")
    assert said in str(refused.value)
