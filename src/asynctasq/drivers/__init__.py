"""The driver port under the names that users type; each driver is in a module of its own."""

from asynctasq.ports.driver import Capabilities, QueueDriver

BaseDriver = QueueDriver

__all__ = ["BaseDriver", "Capabilities", "QueueDriver"]
