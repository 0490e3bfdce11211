"""A driver for asynctasq that keeps its queues in a folder."""

from asynctasq_filesystem.driver import FilesystemDriver
from asynctasq_filesystem.options import filesystem

__all__ = ["FilesystemDriver", "filesystem"]
