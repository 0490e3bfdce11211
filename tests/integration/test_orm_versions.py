"""The resolvers keep their promises with every version of an ORM that pyproject allows: the lowest, and the last of each line.

What is locked is tested everywhere else. Here are environments of their own, with databases in files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from tests.integration.fresh import ROOT, FreshEnvironment, wheel

from asynctasq.testing.contract.resolver import ResolverContract

pytestmark = pytest.mark.timeout(150)

SUITE = Path("tests/contract/resolvers")

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

PACKAGES = {"sqlalchemy": "sqlalchemy", "django": "django", "tortoise": "tortoise-orm"}

FOLLOW = ("pypika-tortoise", "aiosqlite", "iso8601", "asgiref")
"""What an ORM's own version decides."""

PYTEST_INI = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
addopts = --import-mode=importlib -p no:cacheprovider
pythonpath = .
timeout = 60
filterwarnings = error
"""


@dataclass(frozen=True)
class Versions:
    """Versions of ORMs that are tried together.

    Attributes:
        wanted: by ORM.
        python: the least version of Python that has them.
    """

    wanted: dict[str, str]
    python: tuple[int, int] = (3, 11)


def floor(orm: str) -> str:
    """The lowest version that pyproject allows."""
    (requirement,) = EXTRAS[orm]
    return next(f"=={each.version}" for each in Requirement(requirement).specifier if each.operator == ">=")


CASES = {
    "the lowest allowed": Versions({orm: floor(orm) for orm in PACKAGES}),
    "SQLAlchemy 2.0, Tortoise 0": Versions({"sqlalchemy": "==2.0.*", "tortoise": "<1"}),
    "Tortoise 1.0": Versions({"tortoise": "==1.0.*"}),
    "Django 6": Versions({"django": ">=6,<7"}, python=(3, 12)),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def interpreter(least: tuple[int, int]) -> str | None:
    """A Python of this machine that is new enough, this one for preference."""
    if sys.version_info >= least:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    names: Iterable[str] = (f"python3.{minor}" for minor in range(least[1], least[1] + 4))
    found = [path for path in map(shutil.which, names) if path] + sorted(map(str, pyenv.glob("3.*/bin/python")))
    check = f"import ensurepip, sys; sys.exit(sys.version_info < {least})"
    return next(
        (
            path
            for path in found
            if not subprocess.run([path, "-c", check], capture_output=True, check=False).returncode
        ),
        None,
    )


def installed(environment: FreshEnvironment, orm: str, cwd: Path) -> str:
    ask = f"import importlib.metadata; print(importlib.metadata.version({PACKAGES[orm]!r}))"
    return environment.run("-c", ask, cwd=cwd).strip()


@pytest.mark.parametrize("versions", CASES.values(), ids=CASES.keys())
def test_resolvers_keep_every_promise_with_other_versions_of_their_orms(
    versions: Versions, ours: Path, tmp_path: Path
) -> None:
    python = interpreter(versions.python)
    if python is None:
        pytest.skip(
            f"{versions.wanted} needs Python {'.'.join(map(str, versions.python))}, and none is on this machine"
        )
    (tmp_path / "pytest.ini").write_text(PYTEST_INI)
    shutil.copytree(ROOT / SUITE, tmp_path / SUITE, ignore=shutil.ignore_patterns("__pycache__"))
    more: Sequence[str] = ["aiosqlite", "sqlmodel", "PyMySQL", "pytest-timeout"]
    wanted = [f"{PACKAGES[orm]}{which}" for orm, which in versions.wanted.items()]
    environment = FreshEnvironment(
        tmp_path / "venv",
        [f"{ours}[testing,{','.join(versions.wanted)}]", *wanted, *more],
        unlocked=[*(PACKAGES[orm] for orm in versions.wanted), *FOLLOW],
        interpreter=python,
    )
    for orm, which in versions.wanted.items():
        assert installed(environment, orm, tmp_path) in SpecifierSet(which)
    tests = [SUITE / f"test_{orm}.py" for orm in versions.wanted]
    # The suite's other databases need servers, which are tried with the locked versions.
    said = environment.run("-m", "pytest", "-q", "-k", "not postgres and not mysql", *tests, cwd=tmp_path)
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > len(tests) * (len(ResolverContract.promises()) - 3), (
        said
    )  # three at most are refused instead
