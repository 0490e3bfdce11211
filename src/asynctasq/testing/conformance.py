"""`python -m asynctasq.testing.conformance PACKAGE`: which promises of the contract a package keeps, as a table.

Runs pytest on the package's subclasses of the contract suites, and on nothing else of its tests. A promise is *kept* where its
test passed, *refused* where the subject does not declare what it is about (its opposite half was tested instead), and *failed*
otherwise: also where it is a known gap or was not run, since then nothing shows that it is kept.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import click

from asynctasq.testing.contract.base import PROMISE, Contract

# isort: split
import pytest  # behind the suite, which says what to install where it is missing

TITLE = "# Conformance of "
STEPS = "Any sequence of steps ends as it does for a model made of dicts."


class Outcome(enum.Enum):
    """What became of a promise, the worst first."""

    FAILED = "failed"
    REFUSED = "refused"
    KEPT = "kept"
    OPPOSITE = "opposite"
    """It is about doing without something that is declared: the promise that does with it stands in the table instead."""


@dataclass(slots=True)
class Promise:
    """One promise, to one subject.

    Attributes:
        group: what it belongs to, as a sentence.
        outcome: what became of it; of several runs (parameters) the worst.
        reason: why it is refused, or how it failed.
    """

    group: str
    outcome: Outcome | None = None
    reason: str = ""

    def ended(self, outcome: Outcome, reason: str) -> None:
        """Note how a run ended."""
        order = list(Outcome)
        if self.outcome is None or order.index(outcome) < order.index(self.outcome):
            self.outcome, self.reason = outcome, reason


@dataclass(slots=True)
class Subject:
    """One subclass of a contract suite.

    Attributes:
        name: the class's.
        promises: by their names, as sentences.
        declared: its capabilities, by name; empty where it has none to declare.
    """

    name: str
    promises: dict[str, Promise] = field(default_factory=dict[str, Promise])
    declared: dict[str, object] = field(default_factory=dict[str, object])

    def having(self, outcome: Outcome) -> dict[str, Promise]:
        """The promises that ended so."""
        return {name: promise for name, promise in self.promises.items() if promise.outcome is outcome}


class Report:
    """A plugin of pytest: selects the contract's tests and writes down what becomes of them.

    Attributes:
        subjects: by the place of their classes.
    """

    def __init__(self) -> None:
        self.subjects: dict[str, Subject] = {}
        self._promises: dict[str, Promise] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what is not the contract's."""
        chosen = [item for item in items if _is_contract(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
        for item in chosen:
            name, group = _named(item)
            self._promises[item.nodeid] = self._subject(item).promises.setdefault(name, Promise(group))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Write down how a test ended, and what its subject declares."""
        report = yield
        self._end(item, report)
        cls = _class(item)
        if call.when == "call" and issubclass(cls, Contract):
            capabilities = getattr(getattr(item, "funcargs", {}).get(cls.subject), "capabilities", None)
            if is_dataclass(capabilities):
                declared = {each.name: getattr(capabilities, each.name) for each in fields(capabilities)}
                self._subject(item).declared = declared
        return report

    def _subject(self, item: pytest.Item) -> Subject:
        collector = item.getparent(pytest.Class)
        assert collector is not None
        return self.subjects.setdefault(collector.nodeid, Subject(collector.name))

    def _end(self, item: pytest.Item, report: pytest.TestReport) -> None:
        promise = self._promises[item.nodeid]
        if report.failed:
            promise.ended(Outcome.FAILED, _last_line(report.longreprtext))
        elif hasattr(report, "wasxfail"):
            promise.ended(Outcome.FAILED, f"a known gap: {report.wasxfail}")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            reason = reason.removeprefix("Skipped: ")
            if not reason.startswith("not applicable: "):
                promise.ended(Outcome.FAILED, f"not run: {reason}")
            elif reason.endswith(" is not declared"):
                promise.ended(Outcome.REFUSED, reason.removeprefix("not applicable: "))
            else:
                promise.ended(Outcome.OPPOSITE, "")
        elif report.when == "call":
            promise.ended(Outcome.KEPT, "")


def _class(item: pytest.Item) -> type[object]:
    cls = getattr(item, "cls", None)
    return cast("type[object]", cls) if isinstance(cls, type) else object


def _is_contract(item: pytest.Item) -> bool:
    return issubclass(_class(item), Contract) or hasattr(_class(item), PROMISE)


def _named(item: pytest.Item) -> tuple[str, str]:
    """A promise's name and its group's, as sentences."""
    cls = _class(item)
    if not issubclass(cls, Contract):
        return str(getattr(cls, PROMISE)), STEPS
    test: str = getattr(item, "originalname", item.name)
    # Where it was promised first: a known gap is written over it.
    home = next((base for base in reversed(cls.__mro__) if test in vars(base)), cls)
    group = (home.__doc__ or home.__name__).strip().splitlines()[0]
    return test.removeprefix("test_").replace("_", " "), group


def _last_line(text: str) -> str:
    """What went wrong, in a line: the error's own, where pytest marks it."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (errors or lines or ["no reason given"])[0]


def markdown(package: str, subjects: Sequence[Subject]) -> str:
    """The report as a page."""
    python = ".".join(map(str, sys.version_info[:3]))
    lines = [f"{TITLE}{package}", "", f"By the suite of asynctasq {version('asynctasq')}, on Python {python}."]
    for subject in subjects:
        lines += ["", f"## {subject.name}", "", f"{_summary(subject)}."]
        if subject.declared:
            declared = (f"`{name}` {_shown(value)}" for name, value in subject.declared.items())
            lines += ["", f"It declares {', '.join(declared)}."]
        group = ""
        for name, promise in subject.promises.items():
            if promise.outcome is None or promise.outcome is Outcome.OPPOSITE:
                continue
            if promise.group != group:
                group = promise.group
                lines += ["", f"**{group}**", "", "| Promise | | |", "|---|---|---|"]
            lines.append(f"| {name} | {promise.outcome.value} | {_cell(promise.reason)} |")
    return "\n".join(lines) + "\n"


def _summary(subject: Subject) -> str:
    words = {Outcome.KEPT: "kept", Outcome.REFUSED: "refused by declaration", Outcome.FAILED: "failed"}
    return ", ".join(f"{len(subject.having(outcome))} {word}" for outcome, word in words.items())


def _shown(value: object) -> str:
    match value:
        case None:
            return "no limit"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return f"{value}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _show(subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        click.echo(f"\n{subject.name}: {_summary(subject)}")
        for outcome in (Outcome.KEPT, Outcome.REFUSED, Outcome.FAILED):
            for name, promise in subject.having(outcome).items():
                reason = f" ({' '.join(promise.reason.split())})" if promise.reason else ""
                click.echo(f"  {outcome.value:<8} {name}{reason}")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("package")
@click.argument("pytest_options", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--write",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("conformance.md"),
    show_default=True,
    help="The report, as Markdown; an older one is replaced.",
)
def main(package: str, pytest_options: tuple[str, ...], file: Path) -> None:
    """Run the contract suites of PACKAGE and report which promises it keeps.

    PACKAGE is the folder or file with its tests, or an importable package that carries them. Further options go to pytest.

    \b
    python -m asynctasq.testing.conformance tests
    python -m asynctasq.testing.conformance tests --write docs/conformance.md --timeout 60

    \b
    Exit codes:
      0  every promise is kept, or refused by declaration
      1  some are not
      2  there is nothing to report
    """  # noqa: D301 -- \b is click's own: what follows is not rewrapped
    if file.exists() and not file.read_text("utf-8", "replace").startswith(TITLE):
        raise click.UsageError(f"{file} is not such a report: move it away, or name another file with --write")
    where = [package] if Path(package).exists() else ["--pyargs", package]
    report = Report()
    status = pytest.main([*where, "-q", "--no-header", "-p", "no:randomly", *pytest_options], plugins=[report])
    subjects = list(report.subjects.values())
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} or not subjects:
        raise click.UsageError(
            f"no promise of {package!r} was tested: name the folder with your `class Test...(DriverContract)`; "
            "what pytest said is above"
        )
    _show(subjects)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(markdown(package, subjects), "utf-8")
    click.echo(f"\nwritten to {file}")
    sys.exit(any(subject.having(Outcome.FAILED) for subject in subjects))


if __name__ == "__main__":
    main()
