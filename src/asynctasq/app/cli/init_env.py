"""`asynctasq init-env`: every setting as a variable, to be filled in."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from asynctasq.app.cli.exits import CannotWork


@click.command("init-env")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".env.example"),
    show_default=True,
    help="The file to write.",
)
def init_env(output: Path) -> None:
    """Write every setting as a commented variable with its meaning and default, as a start for a .env.

    A file that is there is left alone.

    \b
    asynctasq init-env
    cp .env.example .env
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    text = "\n".join(_lines())
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except FileExistsError:
        raise CannotWork(f"{output} is there already: move it away, or write elsewhere with --output") from None
    except OSError as error:
        raise CannotWork(f"{output} cannot be written: {error.strerror}; write elsewhere with --output") from error
    click.echo(f"written to {output}: copy it to .env and take the # from what you change")


def _lines() -> Iterator[str]:
    from asynctasq.app.setting_sources import PREFIX
    from asynctasq.app.settings import PATHS, SECRETS, Settings

    defaults = Settings().flat()
    meanings = {"": _meanings(Settings)}
    yield "# Settings of asynctasq. What is commented out has its default; the environment wins over this file."
    group = ""
    for path in PATHS:
        inside, _, name = path.rpartition(".")
        if inside not in meanings:
            meanings[inside] = _meanings(Settings.model_fields[inside].annotation)
        if inside != group:
            group = inside
            yield f"\n# --- {inside}"
        secret = " Keep it out of version control." if path in SECRETS else ""
        yield f"\n# {meanings[inside].get(name, path)}{secret}"
        yield f"# {PREFIX}{path.upper().replace('.', '_')}={_value(defaults[path])}"


def _meanings(group: object) -> dict[str, str]:
    """What the docstring of a group of settings says of each."""
    _, _, attributes = (inspect.getdoc(group) or "").partition("Attributes:\n")
    told = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, flags=re.MULTILINE)
    return {name.rstrip("_"): _sentence(text) for name, text in told}


def _sentence(text: str) -> str:
    one_line = re.sub(r"\s+", " ", text)
    return one_line[:1].upper() + one_line[1:]


def _value(default: object) -> str:
    match default:
        case None | ():
            return ""
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case _:
            return str(default)
