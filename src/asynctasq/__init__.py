"""asynctasq: any function becomes a background task, on the broker you already run."""

from asynctasq.app.current import init
from asynctasq.tasks import (
    CurrentTask,
    Discard,
    PendingTask,
    RetryLater,
    Snooze,
    TaskFunction,
    current_task,
    dispatch_many,
    task,
)

__version__ = "2.0.0"

__all__ = [
    "CurrentTask",
    "Discard",
    "PendingTask",
    "RetryLater",
    "Snooze",
    "TaskFunction",
    "__version__",
    "current_task",
    "dispatch_many",
    "init",
    "task",
]
