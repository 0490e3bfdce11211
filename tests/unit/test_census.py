"""The demo's own judgement: what it calls wrong, and what it counts."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from census import measure
from census.measure import Figures
from census.report import problems
from census.results import Counted, Results
from census.run import Census

SOURCE = """\
class A:
    async def f(self):
        pass

    class B: ...


def g():
    def h():
        x = 1
        return x
    return h
"""
DIRECT = {"a.py": Figures(lines=3, parsed=True, functions=1), "b.py": Figures(lines=5, parsed=True)}
GOOD = Census(
    counted={"a.py": Counted(1, DIRECT["a.py"]), "b.py": Counted(2, DIRECT["b.py"])},
    held=frozenset({"b.py"}),
    dispatched_in=0.1,
    counted_in=1.0,
    leftover=0,
)


def test_a_census_that_kept_its_promises_has_no_problems() -> None:
    assert problems(GOOD, DIRECT) == []


@pytest.mark.parametrize(
    ("census", "problem"),
    [
        (replace(GOOD, counted={"b.py": GOOD.counted["b.py"]}), "1 files were never counted: a.py"),
        (replace(GOOD, counted={**GOOD.counted, "c.py": Counted(1, DIRECT["a.py"])}), "are of no file"),
        (replace(GOOD, counted={**GOOD.counted, "a.py": Counted(1, DIRECT["b.py"])}), "counted differently: a.py"),
        (replace(GOOD, counted={**GOOD.counted, "b.py": Counted(1, DIRECT["b.py"])}), "no task was recovered"),
        (replace(GOOD, held=frozenset({"a.py"})), "of the killed worker were not run again: a.py"),
        (replace(GOOD, leftover=1), "still holds 1 tasks"),
    ],
)
def test_a_census_that_broke_a_promise_is_told_which(census: Census, problem: str) -> None:
    assert any(problem in found for found in problems(census, DIRECT))


def test_totals_that_differ_are_a_problem() -> None:
    missing = replace(GOOD, counted={"b.py": GOOD.counted["b.py"]})
    assert any(found.startswith("the totals differ") for found in problems(missing, DIRECT))


def test_a_second_run_of_a_task_replaces_its_row(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.db")
    results.create()
    for attempt in (1, 2):
        results.start("a.py", attempt=attempt, pid=attempt)
        results.finish("a.py", DIRECT["a.py"])
    assert results.counted() == {"a.py": Counted(2, DIRECT["a.py"])}
    assert results.finished() == 1


def test_a_task_that_has_begun_is_running_in_its_process_until_it_has_finished(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.db")
    results.create()
    results.start("a.py", attempt=1, pid=7)
    assert results.running() == {"a.py": 7}
    results.finish("a.py", DIRECT["a.py"])
    assert results.running() == {}


def test_functions_methods_classes_and_lines_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LIBRARY", tmp_path)
    (tmp_path / "m.py").write_text(SOURCE)
    assert measure.measure("m.py") == Figures(
        lines=12, parsed=True, functions=3, classes=2, longest=5, longest_name="g"
    )


@pytest.mark.parametrize("source", [b"def", b"# coding: nonsense\n", b"x = 1\0\n", b"x = '\xff'\n"])
def test_a_file_that_is_no_python_is_counted_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: bytes
) -> None:
    monkeypatch.setattr(measure, "LIBRARY", tmp_path)
    (tmp_path / "m.py").write_bytes(source)
    assert measure.measure("m.py") == Figures(lines=1, parsed=False)


def test_files_that_are_parsed_at_the_same_time_do_not_fail_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "LIBRARY", tmp_path)
    (tmp_path / "m.py").write_text("\n".join(f"def f{n}(a):\n    return [a, (a, {{'k': {n}}})]" for n in range(300)))

    def give_way(*_: object) -> None:
        time.sleep(0)  # within a collection, thus in the middle of a parse, another thread has its turn

    before = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(4) as pool:
            figures = list(pool.map(measure.measure, ["m.py"] * 24))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(give_way)
    assert {each.functions for each in figures} == {300}


def test_installed_packages_are_not_part_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LIBRARY", tmp_path)
    for path, size in {"small.py": 1, "pkg/large.py": 9, "site-packages/x.py": 1, "dist-packages/y.py": 1}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("#" * size)
    assert measure.library_files() == ["pkg/large.py", "small.py"]
