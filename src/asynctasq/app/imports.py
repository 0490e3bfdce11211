"""Importing what an operator names: a module, `module:attribute`, or a file. A message never chooses what is imported."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType

from asynctasq.app.leaving import Left
from asynctasq.app.nearest import did_you_mean
from asynctasq.domain.errors import ConfigurationError


def load_app(spec: str, *, folder: Path | None = None) -> object:
    """Import what `spec` names and return the module, or the attribute if it names one.

    A file is imported as a module, under the dotted name by which the rest of the program would import it, so that its
    tasks have the names that were dispatched. Code below `if __name__ == "__main__"` does not run.

    Args:
        spec: `package.module`, `package.module:attribute`, or the path of a `.py` file, with `:attribute` or without.
        folder: the working directory, which is put first on `sys.path`; by default this process's.

    Raises:
        ConfigurationError: there is no such thing, or it fails on import.
    """
    folder = (folder or Path.cwd()).resolve()
    put_on_path(folder)
    place, _, attribute = spec.partition(":")
    is_file = place.endswith(".py") or os.sep in place
    module = import_file(folder / place) if is_file else _import(place, repr(place))
    return _attribute(module, attribute, spec) if attribute else module


def put_on_path(folder: Path) -> None:
    """Make what lies in `folder` importable before anything else, and what lies in its `src`, if that is no package."""
    source = folder / "src"
    if source.is_dir() and not (source / "__init__.py").exists() and str(source) not in sys.path:
        sys.path.insert(0, str(source))
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def import_file(file: Path) -> ModuleType:
    """Import a file under its dotted name.

    Raises:
        ConfigurationError: it does not exist, has no name that can be imported, or fails on import.
    """
    file = file.resolve()
    if not file.is_file():
        what = "a folder: name a file or a module in it" if file.is_dir() else "no such file; name one from this folder"
        raise ConfigurationError(f"cannot import {file}: {what}")
    name = module_name(file)
    if name is None:
        raise ConfigurationError(f"cannot import {file}: the names of files and folders must be identifiers; rename it")
    root = str(_root(file))
    if root not in sys.path:
        sys.path.append(root)
    module = _import(name, str(file))
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != file:
        raise ConfigurationError(f"cannot import {file}: the module {name!r} is {found or 'built in'}; rename the file")
    return module


def module_name(file: Path) -> str | None:
    """The dotted name of a resolved path, or None if it could not be written in an `import` statement.

    It is relative to the deepest folder of `sys.path` above the file that is no package; where there is none, to the
    folder that holds the file's outermost package.
    """
    parts = file.relative_to(_root(file)).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def _root(file: Path) -> Path:
    above = [Path(entry or ".").resolve() for entry in sys.path]
    roots = [root for root in above if file.is_relative_to(root) and not (root / "__init__.py").exists()]
    if roots:
        return max(roots, key=lambda root: len(root.parts))
    return next(folder for folder in file.parents if not (folder / "__init__.py").exists())


def _import(name: str, shown: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(shown, error) from error
        where = ", ".join(dict.fromkeys(entry for entry in sys.path if Path(entry).is_dir()))
        near = did_you_mean(error.name, _modules_here())
        raise ConfigurationError(
            f"cannot import {shown}: there is no module {error.name!r} in {where}{near or '; name a module of yours, or a file'}"
        ) from error
    except Left:
        raise
    except (Exception, SystemExit) as error:  # a script that ends with sys.exit() is imported here, not run
        raise _failed(shown, error) from error


def _modules_here() -> list[str]:
    """The modules of the folder that comes first, and of the packages in it."""
    here = Path(sys.path[0])
    files = [*here.glob("[!_]*.py"), *here.glob("[!_.]*/*.py")]
    return [".".join(file.relative_to(here).with_suffix("").parts).removesuffix(".__init__") for file in files]


def _failed(shown: str, error: BaseException) -> ConfigurationError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen ")]
    if isinstance(error, SyntaxError):
        where = f" at {error.filename}:{error.lineno}"
    else:
        where = f" at {frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 else ""
    return ConfigurationError(f"cannot import {shown}: {type(error).__name__}: {error}{where}")


def _attribute(module: ModuleType, attribute: str, spec: str) -> object:
    value: object = module
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            near = did_you_mean(name, dir(value))
            raise ConfigurationError(
                f"cannot use {spec!r}: {value!r} has no attribute {name!r}{near or '; name one that it has'}"
            ) from error
    return value
