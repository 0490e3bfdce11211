"""The places where settings are given, each read into the same flat form: a value and its source by the setting's path."""

from __future__ import annotations

import difflib
import functools
import logging
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from asynctasq.app import plugins
from asynctasq.domain.errors import ConfigurationError

PREFIX = "ASYNCTASQ_"
RESERVED = ("ASYNCTASQ_TEST_", "ASYNCTASQ_FAILPOINTS")
"""What names of variables begin with that are ours and yet no setting."""

OF_OTHERS = {"drivers": plugins.DRIVERS, "serializers": plugins.SERIALIZERS, "resolvers": plugins.RESOLVERS}
"""The groups whose settings other packages name, `drivers.<driver>.<option>`, by their entry points. What is made of those
settings is theirs to check."""

_log = logging.getLogger("asynctasq.settings")

_URL_NAMES = {
    "sqlite": ("sqlite", "sqlite.path"),
    "redis": ("redis", "redis.url"),
    **dict.fromkeys(
        ("rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"),
        ("redis", "redis.url"),
    ),
    "postgres": ("postgres", "postgres.dsn"),
    "postgresql": ("postgres", "postgres.dsn"),
    "mysql": ("mysql", "mysql.dsn"),
    "sqs": ("sqs", "sqs.region"),
}


class Given(NamedTuple):
    """A value as it was given, and where."""

    value: object
    source: str


Layer = dict[str, Given]
"""What one place gives, by path."""


def layers(
    init: Mapping[str, object] | str | None,
    cli: Mapping[str, object] | None,
    environ: Mapping[str, str] | None,
    cwd: Path,
    paths: Sequence[str],
) -> Iterator[Layer]:
    """What each place gives, the weakest first; see `load_settings` for the order and the arguments.

    Raises:
        ConfigurationError: keys that are no setting, or a file that cannot be read.
    """
    yield _pyproject(cwd, paths)
    yield _dotenv(cwd, paths)
    yield _environment(os.environ if environ is None else environ, "", cwd, paths)
    yield _initial(init, cwd, paths)
    yield {
        path: given for path, given in read(cli or {}, "command line", paths, cwd).items() if given.value is not None
    }


def read(settings: Mapping[str, object], source: str, paths: Sequence[str], folder: Path | None = None) -> Layer:
    """A nested mapping in the flat form, the driver's URL taken apart.

    Args:
        settings: keys are the names of settings and of their groups.
        source: where it comes from, for people.
        paths: the path of every setting.
        folder: what a relative path counts from; by default the working directory.

    Raises:
        ConfigurationError: keys that are no setting, all of them, each with the nearest path.
    """
    flat: Layer = {}
    problems: list[str] = []
    groups = {path.partition(".")[0] for path in paths if "." in path}
    for name, value in settings.items():
        if name in OF_OTHERS:
            flat |= _of_others(name, value, source)
        elif name not in groups:
            flat[name] = Given(value, source)
        elif isinstance(value, Mapping):
            inner = cast("Mapping[str, object]", value)
            flat |= {f"{name}.{key}": Given(item, source) for key, item in inner.items()}
        else:
            names = ", ".join(path.partition(".")[2] for path in paths if path.startswith(f"{name}."))
            problems.append(f"{name} ({source}) is a {type(value).__name__}: use a mapping of {names}")
    problems += [
        f"{path} ({source}): there is no such setting{_nearest(str(path), paths)}"
        for path in flat
        if path not in paths and str(path).partition(".")[0] not in OF_OTHERS
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    return _anchored(_without_url(flat), folder or Path.cwd())


def _of_others(group: str, parts: object, source: str) -> Layer:
    layer: Layer = {}
    for part, options in _items(group, parts, source):
        layer |= {f"{group}.{part}.{option}": Given(value, source) for option, value in _items(group, options, source)}
    return layer


def _items(group: str, mapping: object, source: str) -> Iterable[tuple[str, object]]:
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(
            f"{group} ({source}): use a mapping of {group}, each a mapping of its options, "
            "such as {'filesystem': {'path': 'queues'}}"
        )
    return cast("Mapping[str, object]", mapping).items()


def _path_of_others(variable: str) -> str | None:
    """The path of `ASYNCTASQ_DRIVERS_<DRIVER>_<OPTION>` and the like, if what it names is installed."""
    group, _, given = variable.removeprefix(PREFIX).lower().partition("_")
    if group not in OF_OTHERS:
        return None
    # The longest name first, as one may begin with another.
    for name in sorted(plugins.names(OF_OTHERS[group]), key=len, reverse=True):
        option = given.removeprefix(f"{name.lower().replace('-', '_')}_")
        if option and option != given:
            return f"{group}.{name}.{option}"
    return None


def _initial(init: object, cwd: Path, paths: Sequence[str]) -> Layer:
    match init:
        case None:
            return {}
        case str():
            return read({"driver": init}, "init()", paths, cwd)
        case Mapping():
            return read(cast("Mapping[str, object]", init), "init()", paths, cwd)
        case _:
            raise ConfigurationError(f"init({init!r}): pass a mapping of settings, a driver's name or a URL")


def _environment(environ: Mapping[str, str | None], file: str, cwd: Path, paths: Sequence[str]) -> Layer:
    by_variable = {PREFIX + path.upper().replace(".", "_"): path for path in paths}
    layer: Layer = {}
    for variable, value in environ.items():
        if variable in by_variable:
            if value:
                layer[by_variable[variable]] = Given(value, f"{file}{variable}")
        elif variable.startswith(PREFIX) and (path := _path_of_others(variable)):
            if value:
                layer[path] = Given(value, f"{file}{variable}")
        elif variable.startswith(PREFIX) and not variable.startswith(RESERVED):
            _warn_unknown(f"{file}{variable}", _nearest(variable, tuple(by_variable)))
    return _anchored(_without_url(layer), cwd)


def _dotenv(cwd: Path, paths: Sequence[str]) -> Layer:
    file = cwd / ".env"
    if not file.is_file():  # a virtual environment may go by that name
        return {}
    from dotenv import dotenv_values

    try:
        values = dotenv_values(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: correct it, or its permissions ({error})") from error
    return _environment(values, f"{file}: ", cwd, paths)


def _pyproject(cwd: Path, paths: Sequence[str]) -> Layer:
    file = next((file for folder in (cwd, *cwd.parents) if (file := folder / "pyproject.toml").is_file()), None)
    if file is None:
        return {}
    try:
        table: object = tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("asynctasq", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: correct it, or its permissions ({error})") from error
    if not isinstance(table, dict):
        raise ConfigurationError(f"{file}: tool.asynctasq is a {type(table).__name__}: write a table [tool.asynctasq]")
    return read(cast("Mapping[str, object]", table), str(file), paths, file.parent)


def _without_url(layer: Layer) -> Layer:
    url, source = layer.get("driver", Given(None, ""))
    if not isinstance(url, str) or "://" not in url:
        return layer
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        if rest.strip("/"):
            raise ConfigurationError(f"driver={url!r} ({source}): write memory:// and nothing more")
        return {**layer, "driver": Given("memory", source)}
    if scheme not in _URL_NAMES:
        return layer  # another package's driver, or nobody's: `drivers` knows
    driver, place = _URL_NAMES[scheme]
    layer = {**layer, "driver": Given(driver, source)}
    value = _PLACES.get(driver, _whole)(url, rest, source)
    if value:
        if place in layer:
            raise ConfigurationError(f"driver ({source}) is a URL, and {place} is given beside it: keep one of the two")
        layer[place] = Given(value, source)
    return layer


def _sqlite_path(url: str, rest: str, source: str) -> str:
    host, slash, path = rest.partition("/")
    if host or "?" in path:
        raise ConfigurationError(
            f"driver={url!r} ({source}): write sqlite:///relative/path.db or sqlite:////absolute/path.db, and nothing more"
        )
    return path if slash else ""


def _region(url: str, rest: str, source: str) -> str:
    if "/" in rest.rstrip("/"):
        raise ConfigurationError(
            f"driver={url!r} ({source}): write sqs://region, such as sqs://eu-central-1, or sqs://"
        )
    return rest.rstrip("/")


def _whole(url: str, _rest: str, _source: str) -> str:
    return url


_PLACES = {"sqlite": _sqlite_path, "sqs": _region}
"""What of a URL is a driver's place, where it is not all of it."""


def _anchored(layer: Layer, folder: Path) -> Layer:
    path, source = layer.get("sqlite.path", Given(None, ""))
    if not isinstance(path, (str, Path)) or not str(path):
        return layer
    return {**layer, "sqlite.path": Given(folder / Path(path).expanduser(), source)}


@functools.cache  # once per process: a worker loads its settings before and again after it has imported the app
def _warn_unknown(variable: str, nearest: str) -> None:
    _log.warning("%s is no setting of asynctasq and is ignored%s", variable, nearest)


def _nearest(name: str, names: Sequence[str]) -> str:
    without_its_group = [known for known in names if known.endswith(f".{name}")]
    near = without_its_group or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else "; `asynctasq config show` lists those there are"
