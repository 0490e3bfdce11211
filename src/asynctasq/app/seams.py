"""What the app takes from the outside world besides its ports: time, chance, ids. Handed in, so that a test can own them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The digit that says which variant of UUIDs this is, by a random one: two of its bits are chance."""

_chances: list[str] = []
"""Twenty random digits for each of the next ids. To be asked for them one by one takes the system half of an id's time."""

# What a parent has left over is its own: with the same digits, a child's ids could be those of another child.
os.register_at_fork(after_in_child=_chances.clear)


def uuid7() -> str:
    """A time-ordered UUID (RFC 9562, version 7) from this host's clock and the operating system's randomness."""
    moment = (time.time_ns() // 1_000_000).to_bytes(6).hex()
    try:
        chance = _chances.pop()
    except IndexError:
        digits = os.urandom(10 * 256).hex()
        _chances.extend(digits[first : first + 20] for first in range(20, len(digits), 20))
        chance = digits[:20]
    return f"{moment[:8]}-{moment[8:]}-7{chance[:3]}-{_VARIANT[chance[3]]}{chance[4:7]}-{chance[7:19]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """Clocks, sleep, chance and ids.

    Attributes:
        monotonic: seconds that never jump; leases and deadlines are measured by it.
        wall: seconds since the epoch; only compared with the broker's, and shown to people.
        sleep: waits on the running loop.
        random: a float from 0 to 1.
        new_id: a new message id.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    new_id: Callable[[], str] = uuid7
