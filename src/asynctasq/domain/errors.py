"""Every error that asynctasq raises, in one tree.

    AsyncTasQError
    ├─ ConfigurationError (ValueError)      a setting, option or declaration that cannot work
    │  ├─ UnknownDriver                     no driver goes by that name
    │  └─ MissingDependency (ImportError)   a package that the chosen part needs is not installed
    ├─ DispatchError                        this call can never be queued as it is
    │  ├─ InvalidName (ValueError)          a queue name outside the portable grammar
    │  ├─ SerializationError (TypeError)    an argument that would not come back as it went
    │  ├─ PayloadTooLarge                   the encoded call is over the limit
    │  ├─ UnsupportedByDriver               the driver does not declare the capability that was asked for
    │  └─ PartlyDispatched                  some of many calls failed; the others are queued
    ├─ DriverError
    │  ├─ DriverUnavailable                 nothing was applied: try again later
    │  │  └─ DriverClosed                   the driver was closed, or never connected
    │  ├─ Indeterminate                     the broker may or may not have applied it
    │  └─ CorruptMessage                    stored data that is not a message; it has been quarantined
    └─ TaskError                            what becomes of one attempt of one task
       ├─ TaskNotFound                      the worker has no task of that name
       ├─ UnknownFrame                      the body was written by a newer asynctasq
       ├─ UndecodableTask                   the body cannot be read
       ├─ TaskTimeout (TimeoutError)        the attempt ran past its timeout
       ├─ ModelNotFound                     the row behind an argument is gone
       └─ WorkerProcessDied                 the child that ran the attempt died

A driver raises only `ConfigurationError`, `InvalidName`, `PayloadTooLarge`, `UnsupportedByDriver` and the `DriverError`
family; adapters translate their client's errors at the boundary and keep them as `__cause__`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence


class AsyncTasQError(Exception):
    """The base of every error raised by asynctasq."""


class ConfigurationError(AsyncTasQError, ValueError):
    """A setting, option or declaration that cannot work. The message names it, its value and the next step."""


class UnknownDriver(ConfigurationError):
    """No driver goes by that name."""


class MissingDependency(ConfigurationError, ImportError):
    """A package that the chosen part needs is not installed. The message names the extra to install."""


class DispatchError(AsyncTasQError):
    """This call can never be queued as it is; sending it again will not help."""


class InvalidName(DispatchError, ValueError):
    """A queue name outside `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`, the grammar that every broker can carry."""


class SerializationError(DispatchError, TypeError):
    """An argument that would not arrive as it was given. The message names the task and the argument."""


class PayloadTooLarge(DispatchError):
    """The encoded call is over the smaller of the configured limit and the driver's `max_body`."""


class UnsupportedByDriver(DispatchError):
    """Something was asked of a driver that it does not declare; nothing undeclared is ever silently ignored."""


class PartlyDispatched(DispatchError):
    """Some of many calls were refused or could not be sent; the others are queued.

    Attributes:
        results: per call, in order: its id, or its error.
    """

    def __init__(self, results: Sequence[str | AsyncTasQError]) -> None:
        refused = [result for result in results if not isinstance(result, str)]
        super().__init__(f"{len(refused)} of {len(results)} calls failed, the others are queued: {refused[0]}")
        self.results = results


class DriverError(AsyncTasQError):
    """Something went wrong between us and the broker."""


class DriverUnavailable(DriverError):
    """The broker could not be reached or refused for now. Nothing was applied; the same call may succeed later."""


class DriverClosed(DriverUnavailable):
    """The driver was closed, or never connected."""


class Indeterminate(DriverError):
    """The connection broke after the request was sent: the broker may or may not have applied it."""


class CorruptMessage(DriverError):
    """Stored data that is not a message. The driver has moved it out of the way; the claim loop goes on."""


class TaskError(AsyncTasQError):
    """What became of one attempt of one task."""


class TaskNotFound(TaskError):
    """The worker has no task of that name: it was renamed, not imported, or is newer than this worker."""


class UnknownFrame(TaskError):
    """The body was written by a newer asynctasq than this worker's."""


class UndecodableTask(TaskError):
    """The body, or one of its arguments, cannot be read. Running it again would not help."""


class TaskTimeout(TaskError, TimeoutError):
    """The attempt ran past its timeout.

    Attributes:
        still_running: completes when the work has really ended, where it could not be stopped (a thread, or a coroutine
            that swallows cancellation). `None` when it has ended.
    """

    def __init__(self, message: str, *, still_running: Awaitable[object] | None = None) -> None:
        super().__init__(message)
        self.still_running = still_running


class ModelNotFound(TaskError):
    """The row that an argument refers to no longer exists."""


class WorkerProcessDied(TaskError):
    """The child process that ran the attempt died: the attempt failed, and nothing else."""
