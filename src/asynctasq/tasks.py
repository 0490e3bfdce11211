"""Tasks: the decorator, what it returns, dispatch in bulk, and what a task raises to steer."""

from asynctasq.app.context import CurrentTask, current_task
from asynctasq.app.task_function import PendingTask, TaskFunction
from asynctasq.app.tasks import dispatch_many, task
from asynctasq.domain.steering import Discard, RetryLater, Snooze

__all__ = [
    "CurrentTask",
    "Discard",
    "PendingTask",
    "RetryLater",
    "Snooze",
    "TaskFunction",
    "current_task",
    "dispatch_many",
    "task",
]
