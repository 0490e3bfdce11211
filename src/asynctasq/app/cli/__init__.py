"""The command line. A command imports what it needs when it runs, so that `--help` and a wrong command answer at once."""

import click

from asynctasq.app.cli import completion, config, dead, doctor, init_env, migrate, show, stats, worker
from asynctasq.app.cli.exits import Commands

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="asynctasq")
def main() -> None:
    """Run and look after background tasks.

    \b
    asynctasq worker               run the tasks found in this folder
    asynctasq worker shop.tasks    run the tasks that a module makes
    asynctasq stats                how the queues stand
    asynctasq show ID              where a task is
    asynctasq dead list            what has failed for good
    asynctasq migrate              install or upgrade a driver's tables
    asynctasq doctor               whether all is well, and what to do where it is not
    asynctasq init-env             write every setting to .env.example
    asynctasq completion bash      let the shell complete commands
    asynctasq config show          every setting and where it comes from

    Settings come from the command line, asynctasq.init(), ASYNCTASQ_... variables, .env and [tool.asynctasq] in
    pyproject.toml, in this order.

    \b
    Exit codes:
      0    done, or stopped in good order
      1    failed
      2    wrong usage or configuration
      3    the broker cannot be reached
      130  interrupted before it was done
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped


for command in (
    worker.worker,
    stats.stats,
    show.show,
    dead.dead,
    migrate.migrate,
    doctor.doctor,
    config.config,
    init_env.init_env,
    completion.completion,
):
    main.add_command(command)
