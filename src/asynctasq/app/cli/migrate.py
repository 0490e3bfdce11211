"""`asynctasq migrate`: install, upgrade and verify what a driver needs in its database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asynctasq.app.cli.opening import open_quietly, run, where
from asynctasq.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from asynctasq.ports.driver import Installable, QueueDriver


@click.command()
@where
@click.option("--sql", "as_sql", is_flag=True, help="Print what would be run, and run nothing.")
def migrate(app: str | None, driver: str | None, as_sql: bool) -> None:
    """Install or upgrade the tables of a driver that needs some, and verify them.

    May be run at any time, again, and by several at once; tasks that are there stay there. With --sql it prints the script, for a
    database whose tables somebody else makes.

    \b
    asynctasq migrate --driver postgres
    asynctasq migrate --driver postgres --sql | psql shop
    asynctasq migrate --driver mysql --sql | mysql shop
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    from asynctasq.ports.driver import Installable

    described = open_quietly(app).drivers.get(driver).sibling()
    if not isinstance(described, Installable):
        raise ConfigurationError(
            f"the driver of {described.location} needs no tables: there is nothing to migrate; name another with --driver"
        )
    if as_sql:
        click.echo(described.schema_sql(), nl=False)
        return
    run(_migrate(described, described))
    click.echo(f"{described.location} is ready")


async def _migrate(driver: QueueDriver, tables: Installable) -> None:
    await tables.install()
    try:
        await driver.connect()  # it verifies
    finally:
        await driver.close()
