"""Message ids."""

from __future__ import annotations

import subprocess
import sys
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


def test_processes_that_were_forked_from_one_have_chances_of_their_own() -> None:
    program = """
import os
from asynctasq.app.seams import uuid7
uuid7()  # which leaves chances over
for _ in range(2):
    if os.fork() == 0:
        print("\\n".join(uuid7() for _ in range(1_000)))
        raise SystemExit
    os.wait()  # one at a time: what both print at once is mixed up
print("\\n".join(uuid7() for _ in range(1_000)))
"""
    ids = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert len(ids) == 3_000
    # The time that they begin with could tell them apart, by luck.
    assert len({id[15:] for id in ids}) == 3_000
