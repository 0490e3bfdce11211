"""What a page calls a reader's own broker."""

from asynctasq.drivers.memory_driver import MemoryDriver
from asynctasq.testing.memory import MemoryHarness


class MyDriver(MemoryDriver):
    def __init__(self, url: str = "my://broker") -> None:
        super().__init__()
        self.url = url


class MyHarness(MemoryHarness): ...
