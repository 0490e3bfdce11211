"""The contract's functions as tasks, for children to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asynctasq import task
from asynctasq.testing.contract.functions import COROUTINES, FUNCTIONS


def name(function: Callable[..., Any]) -> str:
    """What a function of the contract is called in messages."""
    known = f"contract.{'coroutine' if function in COROUTINES.values() else 'plain'}"
    return f"{known}.{function.__name__}"


for function in (*FUNCTIONS, *COROUTINES.values()):
    task(name=name(function), process=True)(function)
