"""`asynctasq completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click

_HOW = {
    "bash": 'add to ~/.bashrc: eval "$(asynctasq completion bash)"',
    "zsh": 'add to ~/.zshrc: eval "$(asynctasq completion zsh)"',
    "fish": "write it to ~/.config/fish/completions/asynctasq.fish",
}
VARIABLE = "_ASYNCTASQ_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options.

    \b
    eval "$(asynctasq completion bash)"       # in ~/.bashrc
    eval "$(asynctasq completion zsh)"        # in ~/.zshrc
    asynctasq completion fish > ~/.config/fish/completions/asynctasq.fish
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    from click.shell_completion import get_completion_class

    completes = get_completion_class(shell)
    assert completes is not None
    click.echo(f"# {_HOW[shell]}\n{completes(ctx.find_root().command, {}, 'asynctasq', VARIABLE).source()}")
