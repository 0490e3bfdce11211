"""What `__main__` is called where another process has to import it."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from asynctasq.domain.script import script_name


def started_as(monkeypatch: pytest.MonkeyPatch, *, spec: str | None = None, file: str | None = None) -> None:
    """Have `__main__` be what the interpreter makes of `-m SPEC`, of a file, or of neither."""
    main = ModuleType("__main__")
    main.__spec__ = None if spec is None else ModuleSpec(spec, None)
    if file is not None:
        main.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", main)


@pytest.mark.parametrize("spec", ["shop.tasks", "shop.__main__"])
def test_what_was_started_as_a_module_is_called_as_it_was_started(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started_as(monkeypatch, spec=spec, file="/srv/elsewhere.py")
    assert script_name() == spec


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/srv/shop.py", "shop"),
        ("shop.py", "shop"),
        ("/srv/my-shop.py", None),
        ("/srv/shop", None),
        (None, None),
    ],
)
def test_a_file_is_called_by_its_stem_where_that_can_be_imported(
    file: str | None, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_as(monkeypatch, file=file)
    assert script_name() == name


def test_where_there_is_no_main_there_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "__main__")
    assert script_name() is None
