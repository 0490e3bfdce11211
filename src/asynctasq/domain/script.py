"""The name of the running script, by which another process can import it: `__main__` means something else there."""

from __future__ import annotations

import inspect
import sys


def script_name() -> str | None:
    """The module that `__main__` is: its real name if it was started with `-m`, else its file's stem.

    None where nothing could import it: an interactive session, or a file whose name is not an identifier.
    """
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    stem = inspect.getmodulename(file) if file else None
    return stem if stem is not None and stem.isidentifier() else None
