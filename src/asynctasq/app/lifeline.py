"""How a worker process notices that its supervisor is gone, however it went: a pipe that ends.

The supervisor holds the only writing end and never writes. The kernel closes it when the supervisor dies, of SIGKILL
too, and every child reads the end of the file. (PR_SET_PDEATHSIG is Linux alone, follows the parent's thread and not
its process, and is lost where the parent dies before the child has asked for it.)
"""

from __future__ import annotations

import os
import signal
import threading
import time

LAST_CALL = 10.0
"""Seconds beyond the grace after which a worker that still has not stopped is killed."""


def watch(fd: int, *, grace: float) -> None:
    """Stop this process in good order when the pipe ends, and kill it if it has not stopped by itself.

    Args:
        fd: the reading end, inherited.
        grace: seconds that running tasks have after a SIGTERM.
    """
    os.set_inheritable(fd, False)  # not for what our tasks start
    threading.Thread(target=_watch, args=(fd, grace), name="asynctasq-lifeline", daemon=True).start()


def _watch(fd: int, grace: float) -> None:
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace + LAST_CALL)
    os.kill(os.getpid(), signal.SIGKILL)
