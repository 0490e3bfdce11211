"""Every message of an error that a user can cause says what to do next.

The messages are read from the source, so that one that no other test provokes is seen as well. What a message says where it is
put together from other texts stands in `ELSEWHERE`, with the place in which the next step is; a text that has none, and why, in
`NONE`. Errors of the broker's and of child processes are no mistakes of users: commands end those with the doctor
(`test_an_error_of_the_broker_ends_with_the_doctor`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynctasq import errors
from asynctasq.app.cli import exits
from asynctasq.app.cli.exits import Failed

SOURCE = Path(__file__).parents[2] / "src" / "asynctasq"
OF_OTHERS = {"DriverError", "DriverUnavailable", "Indeterminate", "CorruptMessage", "WorkerProcessDied"}
"""What happens to the broker, or to a process: see `docs/errors.md`."""
JUDGED = (
    {name for name in dir(errors) if isinstance(kind := getattr(errors, name), type) and issubclass(kind, Exception)}
    - OF_OTHERS
    - {"Discard", "RetryLater", "Snooze"}
) | {"TypeError", "UsageError", "Failed", "CannotWork"}
VERBS = (
    "add allow annotate await call check choose close connect correct create decide "
    "define dispatch drop enable enter export free give grant import install keep "
    "leave let look make map move name pass press put raise read "
    "refresh rename repair requeue restore run save say send set shorten split "
    "subscribe switch take turn type unlock upgrade use wait write"
)
STEP = re.compile(
    rf"(?:^|[:;,.(]\s+|\b(?:or|and)\s+|`)(?:{VERBS.replace(' ', '|')})\b"  # in the imperative, at the beginning of a clause
    r"|known are|there are \{|did you mean|(?:it|they) should|--driver names one|`asynctasq [a-z ]+` (?:shows|lists)",
    re.IGNORECASE,
)
ELSEWHERE = {
    "{}: {} ({})": "the tables of faults.py, judged by `test_what_a_broker_refuses_for_good_says_what_to_do`",
    "Redis at {}: {}": "likewise",
    "SQS at {}: {}": "likewise",
    "SQS at {}: {} ({})": "likewise",
    "this worker knows no {} model {}: {}": "the resolver's advice, judged as an argument of `unknown_label`",
    "a value of type {} would not arrive as it is: {}": "`_instead`, a sentence for each kind of value",
    "the arguments of task {} together: {}": "the serializer's error",
    "argument {} of task {}: {}": "the serializer's, or the resolver's, error",
    "argument {} of task {}: {}{}": "the serializer's error",
    "cannot import {}: {}": "both are in the line above it",
    "there is no dead letter {}; {}": "the command that lists them",
    "task {} could not be run: {}": "the reason of its dead letter",
    "{}: {}": "the error that a child process is told of",
    "{}{}: {}": "the signature of the task",
    "cannot import {}: {}: {}{}": "the file and the line that fail",
}
NONE = {
    "the body is empty": "no asynctasq wrote it",
    "the body cannot be decoded: {}": "no asynctasq wrote it",
    "the body is not [name, overrides, arguments]": "no asynctasq wrote it",
    "the arguments of task {} are not [args, kwargs]": "no asynctasq wrote it",
    "an override's key is not a whole number": "no asynctasq wrote it",
    "an override is out of range: {}": "no asynctasq wrote it",
    "a reference to {} names a database, which SQLAlchemy's do not": "no asynctasq wrote it",
    "a reference to {} names a database, which Tortoise's do not": "no asynctasq wrote it",
}


def called(node: ast.Call) -> str:
    return (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )


def told(node: ast.expr) -> str | None:
    """A text with {} for what is filled in; None if it is made elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else _filled(part) for part in values)
        case ast.IfExp(body=body, orelse=other):
            return told(body) or told(other)
        case _:
            return None


def _filled(part: ast.expr) -> str:
    # {near or '; name one'} ends with a step, whichever it is.
    match part:
        case ast.FormattedValue(value=ast.BoolOp(op=ast.Or(), values=[*_, ast.Constant(value=str(text))])):
            return text
        case _:
            return "{}"


def messages() -> Iterator[tuple[str, str]]:
    """Where a message is made, and the message."""
    for file in sorted(SOURCE.rglob("*.py")):
        if "contract" in file.parts or file.match("domain/errors.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and called(node) in JUDGED and node.args:
                ours = called(node) != "TypeError" or "app" in file.parts  # elsewhere it is caught and put into words
                if ours and (text := told(node.args[0])) is not None:
                    yield f"{file.relative_to(SOURCE)}:{node.lineno}", text


def refusals() -> Iterator[tuple[str, str]]:
    """What the drivers' tables of faults say of what no retry will mend."""
    for file in sorted(SOURCE.glob("adapters/drivers/*/faults.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            target = (
                node.targets[0]
                if isinstance(node, ast.Assign)
                else node.target
                if isinstance(node, ast.AnnAssign)
                else None
            )
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(target, ast.Name) and target.id in {"_FOR_GOOD", "_UNUSABLE"} and isinstance(value, ast.Dict):
                for text in value.values:
                    if isinstance(text, ast.Constant):
                        yield f"{file.parent.name}: line {text.lineno}", str(text.value)


FOUND = list(messages())
REFUSALS = list(refusals())


def test_the_messages_are_found() -> None:
    assert len(FOUND) > 150
    assert len(REFUSALS) > 30


@pytest.mark.parametrize(("place", "message"), FOUND)
def test_a_message_to_users_says_what_to_do_next(place: str, message: str) -> None:
    assert STEP.search(message) or message in ELSEWHERE or message in NONE, f"{place}: {message}"


@pytest.mark.parametrize(("place", "message"), REFUSALS)
def test_what_a_broker_refuses_for_good_says_what_to_do(place: str, message: str) -> None:
    assert STEP.search(message), f"{place}: {message}"


def test_what_is_excused_is_still_said() -> None:
    assert {*ELSEWHERE, *NONE} <= {message for _, message in FOUND}


@pytest.mark.parametrize("name", sorted(OF_OTHERS - {"WorkerProcessDied"}))
def test_an_error_of_the_broker_ends_with_the_doctor(name: str) -> None:
    ended = exits._ended_by(getattr(errors, name)("Redis at redis://cache cannot be reached"))
    assert ended.format_message().endswith("; `asynctasq doctor` says what to look at")
    assert not isinstance(ended, Failed)
