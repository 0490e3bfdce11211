"""Tasks: the decorator, what it returns, and dispatch in bulk."""

from asynctasq.app.context import CurrentTask, current_task
from asynctasq.app.task_function import PendingTask, TaskFunction
from asynctasq.app.tasks import dispatch_many, task

__all__ = ["CurrentTask", "PendingTask", "TaskFunction", "current_task", "dispatch_many", "task"]
