"""An optional part of the driver port: what an operator should know of a broker."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is about, in a word or two, such as "persistence".
        said: what was found, in a line without secrets.
        mend: what to do about it; empty if it is as it should be.
    """

    subject: str
    said: str
    mend: str = ""


@runtime_checkable
class Examinable(Protocol):
    """Optional: the broker can be asked whether it is set up as queues need it to be."""

    @abstractmethod
    async def examine(self) -> Sequence[Finding]:
        """Versions, permissions, and settings that may lose or hold up messages. Changes nothing.

        What the broker does not tell is a finding too, never an error.

        Raises:
            DriverUnavailable: it could not be asked.
        """

    @abstractmethod
    async def clock(self) -> float:
        """What time it is by the clock that delays and leases are counted on, in seconds since the epoch.

        As finely as delays are counted, which `capabilities.delay_resolution` says.

        Raises:
            DriverUnavailable: it could not be asked.
        """
