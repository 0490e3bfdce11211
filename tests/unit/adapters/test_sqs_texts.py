"""What is sent to SQS: text that it takes, in requests that it takes."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctasq.adapters.drivers.sqs.client import in_batches
from asynctasq.adapters.drivers.sqs.envelope import (
    ERROR_KEPT,
    GAP,
    LARGEST_BODY,
    MOST,
    ROOM_TO_DIE,
    Death,
    Envelope,
    bounded,
    read,
    waiting,
    written,
)
from asynctasq.domain.errors import CorruptMessage

TAKEN = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
"""The characters that SQS takes."""

texts = st.text(st.characters(), max_size=50)  # control characters and lone surrogates too
deaths = st.builds(Death, reason=texts, error=texts, attempts=st.integers(0, 2**40))
envelopes = st.builds(
    Envelope,
    id=texts,
    body=st.binary(max_size=200),
    attempts=st.integers(0, 2**40),
    expiries=st.integers(0, 2**40),
    left=st.floats(0, 1e9),
    enqueued_at=st.none() | st.floats(1e9, 3e9),
    dead=st.none() | deaths,
)


@given(envelopes)
def test_a_message_is_read_as_it_was_written_and_sqs_takes_every_character_of_it(envelope: Envelope) -> None:
    text = written(envelope)
    assert read(text) == envelope
    assert TAKEN.fullmatch(text)
    assert text.isascii()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        "[]",
        "1",
        "null",
        '{"v":1}',
        '{"v":2,"id":"a"}',
        '{"v":1,"id":1}',
        '{"v":1,"id":"a"}%%%',
        '{"v":1,"id":"a"}YQ',
        '{"v":1,"id":"a","attempts":"1"}',
        '{"v":1,"id":"a","attempts":true}',
        '{"v":1,"id":"a","left":"soon"}',
        '{"v":1,"id":"a","at":[]}',
        '{"v":1,"id":"a","dead":{"reason":"r"}}',
        '{"v":1,"id":"a","dead":1}',
        "[" * 100_000,
    ],
)
def test_what_somebody_else_has_written_is_corrupt(text: str) -> None:
    with pytest.raises(CorruptMessage):
        read(text)


@given(st.text(st.characters(), max_size=300).map(lambda text: text * 10), st.integers(100, 9_000))
def test_of_a_long_text_beginning_and_end_are_kept_and_no_more_than_has_room(text: str, room: int) -> None:
    kept = bounded(text, room)
    assert len(json.dumps(kept)) - 2 <= room
    if kept != text:
        assert len(json.dumps(kept)) - 2 > room - 24, "two characters more, of twelve each, would have fitted"
        beginning, gap, end = kept.partition(GAP)
        assert gap, kept
        assert text.startswith(beginning)
        assert text.endswith(end)
        assert len(json.dumps(end)) > len(json.dumps(beginning))


def test_an_error_as_long_as_every_driver_keeps_is_kept_whole() -> None:
    error = ('  File "a.py", line 1, in \n' * 400)[:8192]
    assert bounded(error, ERROR_KEPT) == error


def test_the_largest_body_has_room_for_a_past_a_reason_and_an_error() -> None:
    id, body = "0" * 36, b"\xff" * LARGEST_BODY
    alive = written(Envelope(id=id, body=body))
    death = Death(reason="\x00" * 20_000, error="\U0001f600" * 20_000, attempts=10**9)
    dead = written(
        Envelope(id=id, body=body, attempts=10**9, expiries=10**9, left=1e9, enqueued_at=3e9 / 7, dead=death)
    )
    assert len(alive) + ROOM_TO_DIE <= MOST
    assert len(dead) <= len(alive) + ROOM_TO_DIE


@given(st.lists(st.integers(0, MOST) | st.integers(0, 100), max_size=60))
def test_requests_hold_every_entry_once_in_order_and_no_more_than_ten_or_a_mebibyte(sizes: list[int]) -> None:
    batches = in_batches(sizes)
    assert [place for batch in batches for place in batch] == list(range(len(sizes)))
    assert all(1 <= len(batch) <= 10 and sum(sizes[place] for place in batch) <= MOST for batch in batches)


def test_requests_are_as_full_as_they_can_be() -> None:
    assert [len(batch) for batch in in_batches([100] * 25)] == [10, 10, 5]
    assert [len(batch) for batch in in_batches([MOST // 4] * 10)] == [4, 4, 2]


@pytest.mark.parametrize(
    ("delay", "held", "left"),
    [(0.0, 0, 0.0), (0.2, 1, 0.0), (900.0, 900, 0.0), (900.5, 900, 900.5), (3600.0, 900, 3600.0), (899.01, 900, 0.0)],
)
def test_what_sqs_cannot_hold_says_how_long_is_left(delay: float, held: int, left: float) -> None:
    envelope = Envelope(id="a", body=b"", left=7.0)
    sent, seconds = waiting(envelope, delay, 900)
    assert (seconds, sent.left) == (held, left)
