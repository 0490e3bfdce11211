"""The parts of the reference that are made of the code: `python -m tests.docs.reference` writes them.

docs/errors.md is one, whole; the options in docs/cli.md are one, between two comments.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from tests.docs.blocks import ROOT

from asynctasq import errors, tasks
from asynctasq.app.cli import main
from asynctasq.errors import AsyncTasQError

ERRORS = ROOT / "docs" / "errors.md"
CLI = ROOT / "docs" / "cli.md"
BEGIN = "<!-- `python -m tests.docs.reference` writes what follows -->\n"
END = "<!-- as far as here -->\n"


def errors_page() -> str:
    public = [getattr(errors, name) for name in errors.__all__]
    lines = [
        "# Errors",
        "",
        "Every error that asynctasq raises, from `asynctasq.errors`. Catch a family by its head: `except DispatchError` is for",
        "what can never be queued, `except DriverError` for what a broker does.",
        "`python -m tests.docs.reference` writes this page.",
        "",
    ]
    for error in (AsyncTasQError, *_below(AsyncTasQError, public)):
        depth = error.__mro__.index(AsyncTasQError)
        also = [base.__name__ for base in error.__bases__ if base.__module__ == "builtins" and base is not Exception]
        kind = f" (also `{also[0]}`)" if also else ""
        lines.append(f"{'    ' * depth}* **`{error.__name__}`**{kind}. {_told(error)}")
    lines += [
        "",
        "## Raised by tasks, to steer",
        "",
        "These are no errors of ours, and `except AsyncTasQError` lets them pass; see [retries](retries.md).",
        "",
    ]
    for name in ("Discard", "RetryLater", "Snooze"):
        lines.append(f"* **`{name}`**. {_told(getattr(tasks, name))}")
    return "\n".join(lines) + "\n"


def _below(error: type, public: list[type[AsyncTasQError]]) -> Iterator[type[AsyncTasQError]]:
    for each in public:
        if each.__bases__[0] is error:
            yield each
            yield from _below(each, public)


def _told(error: type) -> str:
    """The docstring's first paragraph, and its attributes in brackets."""
    said = inspect.cleandoc(error.__doc__ or "")
    first = " ".join(said.split("\n\n")[0].split())
    attributes = re.findall(r"^    ([a-z]\w*): (.*(?:\n {8}.*)*)", said, flags=re.MULTILINE)
    told = "; ".join(f"`{name}`: {' '.join(text.split()).rstrip('.')}" for name, text in attributes)
    return f"{first} ({told}.)" if told else first


def options() -> str:
    """Tables of every command's options."""
    lines: list[str] = []
    for path, command in _commands("asynctasq", main):
        usage = " ".join(["asynctasq"[: 0 if path else 9] + path, *_arguments(command)])
        lines += ["", f"**`{usage}`** {_first_line(command)}", ""]
        rows = [_row(option) for option in command.params if isinstance(option, click.Option) and not option.hidden]
        if rows:
            lines += ["| option | |", "| --- | --- |", *rows]
    return "\n".join(lines[1:]) + "\n"


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(f"{path} {name}", inner)
    else:
        yield path, command


def _arguments(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            name = parameter.make_metavar(click.Context(command))
            yield name if name.startswith("[") or parameter.required else f"[{name}]"


def _first_line(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").split("\n")[0]


def _row(option: click.Option) -> str:
    shown = ", ".join(option.opts)
    if not option.is_flag:
        shown += f" {option.make_metavar(click.Context(main))}"
    help_text = re.sub(r"\s+", " ", option.help or "")
    default = f" [default: {option.default}]" if option.show_default else ""
    return f"| `{shown.replace('|', chr(92) + '|')}` | {(help_text + default).replace('|', chr(92) + '|')} |"


def cli_page() -> str:
    """docs/cli.md as it should be: what is written by hand, and the options in between."""
    before, _, rest = CLI.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{options()}\n{END}{after}"


if __name__ == "__main__":
    ERRORS.write_text(errors_page())
    CLI.write_text(cli_page())
