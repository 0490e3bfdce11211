"""What README and docs/ show is run, and its types are checked."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from tests.docs.blocks import PAGES, ROOT, Block, blocks

from asynctasq.app.cli import main

BLOCKS = [block for page in PAGES for block in blocks(page)]
STAND_INS = Path(__file__).with_name("stand_ins")
LANGUAGES = {"python", "sh", "toml", "text", "yaml", "ini", "dockerfile"} | {"sql"}  # the last is only shown
WITH_PYTHON = sorted({block.page for block in BLOCKS if block.language == "python" and block.mark is None})
WITH_AN_ADAPTER = [ROOT / "docs" / f"writing-{page}.md" for page in ("a-serializer", "an-executor")]
NOT_RUN = 3
"""How many Python blocks say that they are not run. One more is a decision, not an accident."""


def program(page: Path) -> str:
    """The Python of a page, each line where the page has it, so that an error names the page's line."""
    lines = [""] * len(page.read_text().splitlines())
    for block in blocks(page):
        if block.language == "python" and block.mark not in {"not checked", "file"}:
            code = block.source.splitlines()
            lines[block.line - 1 : block.line - 1 + len(code)] = code
    return "\n".join(lines) + "\n"


def shown_tests(page: Path) -> list[str]:
    """The names of the tests that a page shows: functions, and the methods of unittest's cases."""
    found: list[str] = []
    for node in ast.parse(program(page)).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("TestCase") for base in node.bases):
            found += [each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found += [] if node.args.args[:1] and node.args.args[0].arg == "self" else [node.name]
    return [name for name in found if name.startswith("test_")]


WITH_TESTS = [page for page in PAGES if shown_tests(page)]


def name(value: object) -> str:
    match value:
        case Block():
            return f"{value.page.name}:{value.line}"
        case Path():
            return value.name
        case _:
            return ""


def test_every_block_names_a_language_that_is_looked_at_here_or_stands_in_this_list() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES


def test_blocks_that_are_not_run_say_why_and_are_counted() -> None:
    excused = [f"{name(block)}: {block.words}" for block in BLOCKS if block.mark in {"not run", "not checked"}]
    assert len(excused) == NOT_RUN, excused


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCTASQ_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.docs.run_page", str(page)],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": f"{ROOT}:{STAND_INS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr  # a task that was never dispatched, a file left open


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", WITH_TESTS, ids=name)
def test_the_tests_that_a_page_shows_pass(page: Path, tmp_path: Path) -> None:
    shutil.copy(STAND_INS / "fixtures.py", tmp_path / "conftest.py")
    (tmp_path / f"test_{page.stem}.py").write_text(program(page))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
            *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(STAND_INS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(shown_tests(page))} passed" in done.stdout


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", WITH_AN_ADAPTER, ids=name)
def test_the_adapters_that_the_pages_write_keep_their_contract(page: Path, tmp_path: Path) -> None:
    (tmp_path / f"test_{page.stem}.py").write_text(program(page))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
            *("-o", "asyncio_default_fixture_loop_scope=function"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > 20, done.stdout


@pytest.mark.timeout(240)  # a type checker's cold start, on a machine that runs other tests beside it
def test_the_types_of_all_programs_are_right(tmp_path: Path) -> None:
    for page in PAGES:
        (tmp_path / f"{page.stem.replace('-', '_')}.py").write_text(program(page))
        for block in blocks(page):
            if block.language == "python" and block.mark == "file":
                (tmp_path / block.words).write_text(block.source)  # of several versions, the last
    relaxed = [
        *("top-level-await", "no-redef"),  # a page awaits in no function, and shows a name in several versions
        *("override", "abstract"),  # a fixture that overrides ours, of a driver that is not complete yet
        "import-untyped",
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file=", "--check-untyped-defs", "--no-error-summary"),
            *(f"--disable-error-code={code}" for code in relaxed),
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(STAND_INS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "toml"], ids=name)
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.source)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=name)
def test_commands_of_ours_exist_with_the_options_that_are_shown(block: Block) -> None:
    for line in block.source.replace("\\\n", " ").splitlines():
        for command in line.split("|"):
            words = shlex.split(command, comments=True)
            if words[:1] == ["asynctasq"]:
                redirected = words.index(">") if ">" in words else None
                check(main, words[1:redirected])


def check(command: click.Command, words: list[str]) -> None:
    """Parse a command line and run nothing."""
    with command.make_context("asynctasq", words) as context:
        if isinstance(command, click.Group):
            inner = command.get_command(context, words[0])
            assert inner is not None, f"there is no {command.name} {words[0]}"
            check(inner, words[1:])
