"""How a command ends: one clear line on standard error, and a status that a script can tell from others."""

from __future__ import annotations

from typing import Any

import click

from asynctasq.domain.errors import AsyncTasQError, ConfigurationError, DispatchError, DriverError

INTERRUPTED = 130


class Failed(click.ClickException):
    """What was asked for did not come about."""

    exit_code = 1


class CannotWork(click.ClickException):
    """Usage or configuration: the same again will end the same way."""

    exit_code = 2


class Unreachable(click.ClickException):
    """The broker cannot be reached, or did not answer."""

    exit_code = 3


class Commands(click.Group):
    """Commands whose errors, where they are ours, end as one line and a status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            ClickException: it raised an error of ours.
        """
        try:
            return super().invoke(ctx)
        except AsyncTasQError as error:
            raise _ended_by(error) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _ended_by(error: AsyncTasQError) -> click.ClickException:
    match error:
        case ConfigurationError() | DispatchError():
            return CannotWork(str(error))
        case DriverError():
            return Unreachable(f"{error}; `asynctasq doctor` says what to look at")
        case _:
            return Failed(str(error))
