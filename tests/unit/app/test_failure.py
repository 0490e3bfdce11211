"""How failures are described, whatever a task raises."""

from __future__ import annotations

from typing import cast

import pytest

from asynctasq.app.failure import KEPT, describe


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


class Odd(Exception):
    def __str__(self) -> str:
        return cast("str", 7)


class Lying(Exception):
    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        raise RuntimeError("no cause")


def in_a_circle() -> BaseException:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    return one


def in_a_chain() -> BaseException:
    error = ValueError("the first")
    for number in range(2_000):
        after = ValueError(f"number {number}")
        after.__cause__, error = error, after
    return error


def in_boxes() -> BaseException:
    boxed: list[Exception] = [ValueError("innermost")]
    for _ in range(5_000):
        boxed = [ExceptionGroup("box", boxed)]
    return boxed[0]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Mute(), "Mute: <exception str() failed>"),
        (Odd(), "Odd: <exception str() failed>"),
        (Lying(), "Lying: its traceback cannot be shown (RuntimeError)"),
        (ValueError("x" * 10_000_000 + " the end"), "x the end"),
        (ExceptionGroup("many", [ValueError("in a group")]), "ValueError: in a group"),
        (in_a_circle(), "ValueError: one"),
        (in_a_chain(), "ValueError: number 1999"),
        (in_boxes(), "ExceptionGroup: "),
    ],
    ids=["mute", "odd", "lying", "long", "group", "circle", "chain", "boxes"],
)
def test_whatever_is_raised_is_described_in_bounds(error: BaseException, told: str) -> None:
    with pytest.raises(type(error)) as raised:
        raise error
    text = describe(raised.value)
    assert told in text
    assert len(text.encode()) <= KEPT
