"""The memory driver."""

from asynctasq.adapters.drivers.memory.driver import MemoryDriver

__all__ = ["MemoryDriver"]
