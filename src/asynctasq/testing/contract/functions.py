"""What the suite of executors runs. It talks through files, so that it can be run in other processes as well."""

# ruff: noqa: D103  the name of a function says what it does

from __future__ import annotations

import asyncio
import builtins
import contextvars
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, cast

from asynctasq.domain.steering import RetryLater

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("asynctasq_contract_variable", default="unset")

LONGEST: Final = 20.0
"""Seconds after which a plain function gives up waiting, so that a failing test leaves no thread behind that looks for ever."""

ALARM: Final = 0.2
"""Seconds until an alarm that a function leaves behind."""


async def until(condition: Callable[[], bool]) -> None:
    """Look until it is so: files have no event that holds in every place a function may run in."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.005)


def echo(*args: object, **kwargs: object) -> object:
    return args, kwargs


def return_a_function() -> object:
    return lambda: None


def note(file: str, *args: object, **kwargs: object) -> None:
    Path(file).write_text(json.dumps([args, kwargs]), encoding="utf-8")


def fail(kind: str, message: str) -> None:
    raise _kind(kind)(message)


def retry_later(delay: float, reason: str) -> None:
    raise RetryLater(delay, reason)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def exit_at_once() -> None:
    os._exit(3)


def fork(file: str) -> None:
    """Leave a copy of the process behind that returns, too, and write down which it is, and whether its loop turned again."""
    loop = _running_loop()
    copy = os.fork()
    if copy:
        Path(file).write_text(str(copy), encoding="utf-8")
    else:  # a second run of a failing suite shall not go on for ever
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LONGEST))
        if loop is not None:
            loop.call_soon(_mark, file, "turned")


def close_its_output() -> None:
    """Replace and close what print() writes to."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stdout.close()


def upset_signals() -> None:
    """Let SIGTERM kill this process, and leave an alarm behind that would."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, ALARM)


def outlive_signals() -> None:
    """Get a SIGTERM that nobody announced, and last until what `upset_signals` left behind would have come."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3 * ALARM)


def variable() -> str:
    return VARIABLE.get()


def set_variable(file: str) -> None:
    """Write down what the variable was, and set it."""
    Path(file).write_text(VARIABLE.get(), encoding="utf-8")
    VARIABLE.set("a task's")


def hold(marks: str, error: str | None) -> None:
    _mark(marks, "started")
    deadline = time.monotonic() + LONGEST
    while not _marked(marks, "go") and time.monotonic() < deadline:
        time.sleep(0.005)
    _end(marks, error)


async def hold_coroutine(marks: str, error: str | None) -> None:
    _mark(marks, "started")
    await until(lambda: _marked(marks, "go"))
    _end(marks, error)


def _mark(marks: str, what: str) -> None:
    Path(f"{marks}.{what}").touch()


def _marked(marks: str, what: str) -> bool:
    return Path(f"{marks}.{what}").exists()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _end(marks: str, error: str | None) -> None:
    _mark(marks, "ended")
    if error is not None:
        raise _kind(error)


def _kind(name: str) -> type[BaseException]:
    return cast("type[BaseException]", getattr(builtins, name, None) or getattr(asyncio, name))


def _as_coroutine(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, object]]:
    @functools.wraps(function)
    async def call(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return call


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    echo,
    return_a_function,
    note,
    fail,
    retry_later,
    kill_itself,
    segfault,
    exit_at_once,
    fork,
    close_its_output,
    upset_signals,
    outlive_signals,
    variable,
    set_variable,
    hold,
)
"""What is run, for an executor of plain functions."""

COROUTINES: Mapping[Callable[..., Any], Callable[..., Coroutine[Any, Any, object]]] = {
    function: hold_coroutine if function is hold else _as_coroutine(function) for function in FUNCTIONS
}
"""What is run instead, for an executor of coroutine functions."""
