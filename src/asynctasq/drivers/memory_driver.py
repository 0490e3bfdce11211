"""The in-memory driver: for tests, and for one process that needs no durability."""

from asynctasq.adapters.drivers.memory import MemoryDriver

__all__ = ["MemoryDriver"]
