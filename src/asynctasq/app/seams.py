"""What the app takes from the outside world besides its ports: time, chance, ids. Handed in, so that a test can own them."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def uuid7() -> str:
    """A time-ordered UUID (RFC 9562, version 7) from this host's clock and the operating system's randomness."""
    moment = (time.time_ns() // 1_000_000).to_bytes(6).hex()
    chance = os.urandom(10).hex()
    variant = "89ab"[int(chance[3], 16) % 4]
    return f"{moment[:8]}-{moment[8:]}-7{chance[:3]}-{variant}{chance[4:7]}-{chance[7:19]}"


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
