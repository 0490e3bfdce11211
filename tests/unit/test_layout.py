"""The shape of the house, where import-linter cannot see it."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "asynctasq"

FACADES = [
    PACKAGE / "__init__.py",
    PACKAGE / "tasks.py",
    PACKAGE / "errors.py",
    PACKAGE / "serializers.py",
    *sorted((PACKAGE / "drivers").glob("*.py")),
    *sorted((PACKAGE / "utils").glob("*.py")),
]
ASSIGNMENTS = {"__init__.py": {"__all__", "__version__"}, "drivers/__init__.py": {"__all__", "BaseDriver"}}

PUBLIC_PATHS = [
    "asynctasq:init",
    "asynctasq:task",
    "asynctasq:dispatch_many",
    "asynctasq:current_task",
    "asynctasq:RetryLater",
    "asynctasq:Discard",
    "asynctasq:Snooze",
    "asynctasq.tasks:RetryLater",
    "asynctasq.tasks:Discard",
    "asynctasq.tasks:Snooze",
    "asynctasq.tasks:task",
    "asynctasq.tasks:dispatch_many",
    "asynctasq.tasks:TaskFunction",
    "asynctasq.utils.loop:run",
    "asynctasq.drivers:BaseDriver",
    "asynctasq.drivers.memory_driver:MemoryDriver",
    "asynctasq.drivers.sqlite_driver:SQLiteDriver",
    "asynctasq.drivers.sqs_driver:SQSDriver",
    "asynctasq.serializers:MsgpackSerializer",
    "asynctasq.errors:AsyncTasQError",
    "asynctasq.errors:DriverUnavailable",
]

SCRIPT = """
import json, sys
before = set(sys.modules)

import asynctasq
from asynctasq.tasks import task

@task
async def a(x: int) -> None: ...

@task
def b(x: int) -> None: ...

@task(queue="mail", max_attempts=5, retry_delay=1.5, timeout=10, driver="sqlite", name="mail.c")
async def c(x: int) -> None: ...

@task(queue="mail", max_attempts=1)
def d(x: int) -> None: ...

print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


@pytest.fixture
def loaded(tmp_path: Path) -> set[str]:
    """The top-level modules that a script which imports asynctasq and decorates tasks adds to a bare interpreter's."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def test_importing_asynctasq_and_decorating_tasks_loads_nothing_else_but_the_standard_library(loaded: set[str]) -> None:
    assert loaded - sys.stdlib_module_names == {"asynctasq"}


def test_importing_asynctasq_and_decorating_tasks_loads_no_asyncio(loaded: set[str]) -> None:
    assert "asyncio" not in loaded


@pytest.mark.parametrize("facade", FACADES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_facade_holds_a_docstring_imports_and_all_and_nothing_else(facade: Path) -> None:
    docstring, *rest = ast.parse(facade.read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    assigned: set[str] = set()
    for statement in rest:
        if isinstance(statement, ast.Assign):
            assigned |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
        else:
            assert isinstance(statement, ast.ImportFrom), ast.unparse(statement)
            assert statement.level == 0, "write the whole path"
    allowed = ASSIGNMENTS.get(facade.relative_to(PACKAGE).as_posix(), {"__all__"})
    assert assigned <= allowed


@pytest.mark.parametrize("facade", FACADES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_facade_offers_what_it_imports_and_assigns(facade: Path) -> None:
    statements = ast.parse(facade.read_text()).body
    imported = {
        alias.asname or alias.name for node in statements if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    dotted = ".".join(facade.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    offered = set(getattr(importlib.import_module(dotted), "__all__", ()))
    assert imported <= offered


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_a_public_path_can_be_imported(path: str) -> None:
    module, _, name = path.partition(":")
    assert hasattr(importlib.import_module(module), name)


def test_the_floors_in_the_architecture_page_are_the_folders_of_the_package_and_the_layers_that_ci_checks() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    house = page[page.index("    __init__  tasks") : page.index("* **Four ports")]
    drawn = [set(re.findall(r"^    ([a-z]+)/ ", floor, flags=re.MULTILINE)) for floor in house.split("-----\n")]
    folders = {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert drawn == [folders.intersection(layer.split(" | ")) for layer in layers]
    assert set().union(*drawn) == folders


SHARED = {"keys", "copies"}
"""What several adapters of a kind use: no adapter itself."""


def test_the_adapters_in_the_architecture_page_are_those_that_there_are() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = " ".join(re.search(r"^    adapters/ +(.*?)^    ---", page, flags=re.MULTILINE | re.DOTALL)[1].split())  # type: ignore[index]
    shown = {
        (kind, name.replace(" ", "_"))
        for kind, names in re.findall(r"(\w+) \(([^)]*)\)", drawn)
        for name in names.split(", ")
    }
    there = {
        (kind.name, adapter.stem)
        for kind in (PACKAGE / "adapters").iterdir()
        if (kind / "__init__.py").exists()
        for adapter in kind.glob("[!_]*")
        if adapter.stem not in SHARED and not _helps_another(adapter)
    }
    assert shown == there


def _helps_another(adapter: Path) -> bool:
    """What is beside an adapter and only helps it begins with its name: msgpack_types.py."""
    owner, _, rest = adapter.stem.partition("_")
    return bool(rest) and adapter.with_name(f"{owner}.py").exists()


def test_the_floors_ports_are_the_files_of_the_ports_and_their_columns_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = re.search(r"four Protocols: ([\w, ]+);", page)
    assert named is not None
    for port in named[1].split(", "):
        for column in (
            PACKAGE / "ports" / f"{port}.py",
            PACKAGE / "adapters" / f"{port}s",
            ROOT / "tests" / "contract" / f"{port}s",
        ):
            assert column.exists(), column
        contract = PACKAGE / "testing" / "contract"
        assert (contract / f"{port}.py").exists() or (contract / port).is_dir()
