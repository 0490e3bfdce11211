"""Tasks and their configuration refuse what cannot work."""

from __future__ import annotations

import pytest

from asynctasq.domain.errors import ConfigurationError, InvalidName
from asynctasq.domain.queue_name import check_queue_name
from asynctasq.domain.task import ExecutionMode, TaskConfig


@pytest.mark.parametrize(
    ("is_async", "process", "mode"),
    [
        (True, False, ExecutionMode.ASYNC),
        (False, False, ExecutionMode.SYNC),
        (True, True, ExecutionMode.ASYNC_PROCESS),
        (False, True, ExecutionMode.SYNC_PROCESS),
    ],
)
def test_the_mode_follows_from_the_function_and_from_process(
    is_async: bool, process: bool, mode: ExecutionMode
) -> None:
    assert ExecutionMode.of(is_async=is_async, process=process) is mode


@pytest.mark.parametrize("name", ["a", "0", "high-priority", "A_b-9", "x" * 64])
def test_a_portable_queue_name_is_given_back(name: str) -> None:
    assert check_queue_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a.b", "a:b", "{a}", "ä", "a\n", "x" * 65, None, 7, b"a"])
def test_any_other_queue_name_is_refused_with_its_value(name: object) -> None:
    with pytest.raises(InvalidName) as refused:
        check_queue_name(name)
    assert str(refused.value) == (
        f"{name!r} is not a queue name: use 1 to 64 ASCII letters, digits, '_' and '-', "
        "starting with a letter or a digit (for example 'high-priority')"
    )


@pytest.mark.parametrize("timeout", [0, 0.0, -1, float("nan"), float("inf"), "5", True])
def test_a_timeout_that_cannot_work_is_refused(timeout: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        TaskConfig(timeout=timeout)  # type: ignore[arg-type] -- that is the test
    if timeout == 0:
        assert str(refused.value) == "timeout=0: use a positive number of seconds, or None for no limit"
    else:
        assert str(refused.value) == f"timeout={timeout!r}: use a number of seconds, 0 or more"


@pytest.mark.parametrize("word", ["ignore", None, "", True])
def test_another_word_for_a_missing_row_is_refused_with_those_that_there_are(word: object) -> None:
    with pytest.raises(ConfigurationError) as refused:
        TaskConfig(on_missing=word)  # type: ignore[arg-type] -- that is the test
    assert str(refused.value) == (
        f'on_missing={word!r}: use "dead" for a dead letter, "discard" to drop the task, '
        'or "none" to run it with None in the place of the row'
    )
