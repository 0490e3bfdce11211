"""What a worker was made from, so that its children can be made in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from asynctasq.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from asynctasq.app.bootstrap import App
    from asynctasq.app.logs import Format, Level
    from asynctasq.app.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a process imports to know its tasks, and how it logs. Plain values: it is handed to other processes.

    Attributes:
        spec: what names the app, as `imports.load_app` takes it; None for no more than the rest.
        modules: what else is imported.
        files: the files that discovery took.
        log: level and format, where the command line configured them; None leaves logging to the app.
    """

    spec: str | None = None
    modules: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    log: tuple[Level, Format] | None = None

    @classmethod
    def of(cls, registry: Registry) -> Origin:
        """The modules that made the tasks of a registry: for a worker that no command line has made.

        A script's own tasks are found in children because multiprocessing runs the script there under another name.
        """
        modules = {function.fn.__module__ for function in registry}
        return cls(modules=tuple(sorted(modules - {"__main__", "__mp_main__"})))

    def open(self) -> App:
        """Import it all, and give the app that is current then, or the one that is named.

        Raises:
            ConfigurationError: it cannot be imported, or what is named is no app.
        """
        from asynctasq.app.bootstrap import App, current
        from asynctasq.app.container import set_orms_up
        from asynctasq.app.imports import import_file, load_app, put_on_path

        put_on_path(Path.cwd())
        set_orms_up()
        app = load_app(self.spec) if self.spec else None
        for module in self.modules:
            load_app(module)
        for file in self.files:
            import_file(Path(file))
        if app is None or isinstance(app, ModuleType):
            return current()
        if isinstance(app, App):
            return app
        raise ConfigurationError(
            f"{self.spec!r} is a {type(app).__name__}: name a module, or an app as asynctasq.init() returns it"
        )
