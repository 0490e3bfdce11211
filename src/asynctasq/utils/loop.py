"""Run a coroutine on uvloop."""

from asynctasq.app.loop import run

__all__ = ["run"]
