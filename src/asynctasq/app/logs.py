"""Log records of the command line: one line of text for people, one line of JSON for machines.

Only the commands configure logging. Every record that is made under a running task carries the task, a user's own records
included. Arguments of tasks are never logged.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from asynctasq.app.context import CURRENT

Level = Literal["debug", "info", "warning", "error", "critical"]
Format = Literal["auto", "text", "json"]

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; anything beyond was given as `extra=`."""


def configure(level: Level, format: Format, *, stream: TextIO | None = None) -> None:
    """Send this process's log records to one stream. Called again, it replaces what it did before.

    Args:
        level: the least level that is shown.
        format: "text", "json", or "auto": text if the stream is a terminal, else JSON.
        stream: where to; by default standard error.
    """
    target: TextIO = stream or sys.stderr
    text = format == "text" or (format == "auto" and target.isatty())
    root = logging.getLogger()
    for before in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(before)
    handler = _Handler(target)
    handler.addFilter(under_task)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it can be told from a user's."""


def under_task(record: logging.LogRecord) -> bool:
    """A filter that lets everything pass and adds the running task to it; an `extra=` of the same name stays."""
    if (running_task := CURRENT.get()) is not None:
        running = running_task()
        fields = {"task": running.name, "task_id": running.id, "attempt": running.attempt, "queue": running.queue}
        vars(record).update({**fields, **vars(record)})
    return True


class JsonFormatter(logging.Formatter):
    """A JSON object in one line: ts (RFC 3339, UTC), level, logger, msg, then whatever the record was given beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; a value that JSON does not know is shown as its `repr`."""
        fields: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        fields |= {name: value for name, value in _extra(record).items() if name not in fields}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc_type"] = record.exc_info[0].__qualname__
            fields["exc"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return json.dumps(fields, default=repr)


class TextFormatter(logging.Formatter):
    """One line with the local time, and the running task at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        """The line above a traceback."""
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        return super().formatMessage(record) + (f" [{extra}]" if extra else "")


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}
