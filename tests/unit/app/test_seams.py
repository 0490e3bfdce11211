"""Message ids."""

from __future__ import annotations

import time
import uuid

from asynctasq.app.seams import uuid7


def test_an_id_is_a_uuid_of_version_7_that_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    ids = [uuid7() for _ in range(1_000)]
    after = time.time_ns() // 1_000_000

    for id in ids:
        read = uuid.UUID(id)
        assert str(read) == id
        assert (read.version, read.variant) == (7, uuid.RFC_4122)
        assert before <= read.int >> 80 <= after


def test_every_bit_that_is_left_to_chance_is() -> None:
    # Of a thousand ids one bit is the same in all by chance once in 2 ** 999.
    ids = [uuid.UUID(uuid7()).int & (1 << 80) - 1 for _ in range(1_000)]
    ever_set, always_set = 0, (1 << 80) - 1
    for id in ids:
        ever_set |= id
        always_set &= id
    fixed = (0xF << 76) | (0b11 << 62)
    assert ever_set & ~fixed == (1 << 80) - 1 & ~fixed
    assert always_set & ~fixed == 0
