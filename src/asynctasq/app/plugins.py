"""What other packages bring: found through entry points, and built from options that are checked against their own parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from asynctasq.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from pydantic import ValidationError

DRIVERS = "asynctasq.drivers"
"""The group of entry points that name drivers."""

SERIALIZERS = "asynctasq.serializers"
"""The group of entry points that name serializers."""

RESOLVERS = "asynctasq.resolvers"
"""The group of entry points that name resolvers, each called as the module that an app with models of its ORM has imported."""


def names(group: str) -> list[str]:
    """What other packages bring under a group of entry points, by name, sorted."""
    return sorted({point.name for point in _points(group)})


def build(group: str, name: str, options: Mapping[str, object], *, path: str) -> Any:
    """Call what an entry point names, with the options that were given for it.

    The parameters of that class or function are its options: their names, their types (text from the environment becomes
    a number, a truth value or a path where one is asked for) and what they are without.

    Args:
        group: the group of entry points.
        name: which of it.
        options: what people gave.
        path: of the setting that holds them, for people.

    Raises:
        ConfigurationError: it cannot be imported, or an option is unknown, missing or of no use; one line for each.
    """
    point = next(point for point in _points(group) if point.name == name)
    try:
        factory = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{name!r} ({point.value}) cannot be loaded: {error}; install what it needs, or the package again"
        ) from error
    return factory(**_checked(factory, options, path))


def _points(group: str) -> EntryPoints:
    from importlib.metadata import entry_points  # a third of the time of `import asynctasq`, and rarely needed

    return entry_points(group=group)


def _checked(factory: Callable[..., object], options: Mapping[str, object], path: str) -> dict[str, Any]:
    from pydantic import ConfigDict, ValidationError, create_model

    parameters = inspect.signature(factory, eval_str=True).parameters.values()
    named = [each for each in parameters if each.kind not in {each.VAR_KEYWORD, each.VAR_POSITIONAL}]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    fields: dict[str, Any] = {
        each.name: (
            Any if each.annotation is each.empty else each.annotation,
            ... if each.default is each.empty else each.default,
        )
        for each in named
    }
    config = ConfigDict(extra="allow" if takes_any else "forbid", arbitrary_types_allowed=True, protected_namespaces=())
    try:
        checked = create_model("Options", __config__=config, **fields).model_validate(dict(options))
    except ValidationError as error:
        raise ConfigurationError("\n".join(_problems(error, path, list(fields)))) from error
    return {name: getattr(checked, name) for name in options}


def _problems(error: ValidationError, path: str, known: list[str]) -> Iterator[str]:
    import difflib

    for problem in error.errors():
        name = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {path}.{near[0]}?" if near else ""
            options = f"known are {', '.join(known)}" if known else "it takes none"
            yield f"{path}.{name}: there is no such option ({options}){hint}"
        elif problem["type"] == "missing":
            yield f"{path}.{name} is missing: give it a value"
        else:  # without the value, which may be a secret
            yield f"{path}.{name}: {problem['msg'].replace('Input should', 'it should', 1)}"
