"""The wheel and the sdist: what is in them, what an index would say to them, and a first task where nothing else is installed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from tests.integration.fresh import ROOT, FreshEnvironment

HELLO = """
from asynctasq import task


@task
async def greet(name: str) -> None:
    print(f"Hello, {name}!")


if __name__ == "__main__":
    greet("Ada").dispatch_sync()
"""


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of the sdist alone, as an installer does where there is no wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def metadata(text: bytes) -> Metadata:
    """As an index reads it: a field that it would refuse is an error."""
    return Metadata.from_email(text, validate=True)


def test_an_index_accepts_what_both_say_of_themselves(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        (name,) = [name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO")]
        info = archive.extractfile(name)
        assert info is not None
        said = metadata(info.read())
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert metadata(archive.read(name)).name == said.name == "asynctasq"
    assert said.description == (ROOT / "README.md").read_text()
    assert said.description_content_type == "text/markdown"
    assert said.license_expression == "MIT"


def test_the_wheel_holds_the_package_with_its_scripts_and_statements_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    held = {name.removeprefix("asynctasq/") for name in names if name.startswith("asynctasq/")}
    source = ROOT / "src" / "asynctasq"
    kept = {
        path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    assert held == kept
    assert {name.partition("/")[0] for name in names} == {"asynctasq", "asynctasq-2.0.0.dist-info"}
    assert "asynctasq-2.0.0.dist-info/licenses/LICENSE" in names


@pytest.mark.timeout(300)
def test_a_first_task_works_where_the_wheel_and_what_it_needs_are_all_there_is(wheel: Path, tmp_path: Path) -> None:
    environment = FreshEnvironment(tmp_path / "venv", [str(wheel)])
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "pyproject.toml").touch()
    (shop / "hello.py").write_text(HELLO)
    environment.run("hello.py", cwd=shop)
    assert environment.run("-m", "asynctasq", "worker", "hello", "--burst", cwd=shop) == "Hello, Ada!\n"
    assert environment.run("-m", "asynctasq", "--version", cwd=shop) == "asynctasq, version 2.0.0\n"
