"""What errors say that carry more than a text."""

from __future__ import annotations

from asynctasq.domain.errors import InvalidName, PartlyDispatched


def test_calls_that_were_dispatched_in_part_are_counted_and_the_first_refusal_is_told() -> None:
    results = ["an id", InvalidName("first"), "another id", InvalidName("second")]
    error = PartlyDispatched(results)
    assert str(error) == "2 of 4 calls failed, the others are queued: first"
    assert error.results == results
