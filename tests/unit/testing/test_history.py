"""The history checker, on forged histories: it must see each kind of violation, and none where there is none."""

from __future__ import annotations

import pytest
from tests.integration.history import (
    CutOff,
    Dead,
    Ended,
    Enqueued,
    Event,
    FailedOver,
    How,
    Killed,
    Kind,
    Paused,
    Started,
    Violation,
    check,
    duplicates,
)

LEASE = 2.0


def kinds(*history: Event) -> list[Kind]:
    return [violation.kind for violation in violations(*history)]


def violations(*history: Event) -> list[Violation]:
    return check(history, lease=LEASE)


def run(attempt: int, pid: int, start: float, end: float | None = None, how: How = "ok") -> list[Event]:
    events: list[Event] = [Started(task="t", at=start, attempt=attempt, pid=pid)]
    if end is not None:
        events.append(Ended(task="t", at=end, attempt=attempt, pid=pid, how=how))
    return events


ENQUEUED = Enqueued(task="t", at=0.0, retry_delay=5.0)


def test_an_empty_history_is_clean():
    assert violations() == []


def test_a_task_that_ran_once_is_clean():
    assert violations(ENQUEUED, *run(1, 10, 1.0, 1.1)) == []


def test_the_order_in_which_events_were_recorded_does_not_matter():
    history = [ENQUEUED, *run(1, 10, 1.0), Killed(pid=10, at=1.5), *run(2, 11, 4.0, 4.1)]
    assert violations(*reversed(history)) == []


def test_a_task_that_never_ran_is_lost():
    assert kinds(ENQUEUED) == [Kind.LOST]


def test_a_task_that_started_and_never_ended_is_lost():
    assert kinds(ENQUEUED, *run(1, 10, 1.0), Killed(pid=10, at=1.5)) == [Kind.LOST]


def test_a_task_that_only_failed_is_lost():
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 1.1, "failed")) == [Kind.LOST]


def test_a_dead_letter_is_not_lost():
    assert violations(ENQUEUED, *run(1, 10, 1.0, 1.1, "failed"), Dead(task="t")) == []


def test_a_dead_letter_that_never_ran_is_not_lost():
    assert violations(ENQUEUED, Dead(task="t")) == []


@pytest.mark.parametrize("event", [*run(1, 10, 1.0, 1.1), Dead(task="t")], ids=["start", "end", "dead letter"])
def test_what_nobody_enqueued_is_a_phantom(event: Event):
    assert kinds(event) == [Kind.PHANTOM]


def test_a_second_run_without_any_fault_is_a_duplicate():
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 1.1), *run(2, 11, 2.0, 2.1)) == [Kind.DUPLICATE]


def test_a_second_run_beside_the_first_is_a_duplicate():
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 9.0), *run(2, 11, 2.0, 2.1)) == [Kind.DUPLICATE]


def test_a_failure_excuses_a_second_run():
    assert violations(ENQUEUED, *run(1, 10, 1.0, 1.1, "failed"), *run(2, 11, 6.2, 6.3)) == []


def test_a_failure_that_came_after_the_second_run_began_does_not_excuse_it():
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 9.0, "failed"), *run(2, 11, 6.2, 6.3)) == [Kind.DUPLICATE]


def test_a_kill_during_the_run_excuses_a_second_one():
    assert violations(ENQUEUED, *run(1, 10, 1.0), Killed(pid=10, at=1.5), *run(2, 11, 4.0, 4.1)) == []


def test_a_kill_before_the_settlement_can_have_arrived_excuses_a_second_run():
    assert violations(ENQUEUED, *run(1, 10, 1.0, 1.1), Killed(pid=10, at=1.2), *run(2, 11, 4.0, 4.1)) == []


@pytest.mark.parametrize(
    "kill",
    [Killed(pid=10, at=0.5), Killed(pid=10, at=3.0), Killed(pid=10, at=4.5), Killed(pid=12, at=1.05)],
    ids=["before the run", "long after it was settled", "after the second run began", "of another worker"],
)
def test_a_kill_that_did_not_cover_the_run_excuses_nothing(kill: Killed):
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 1.1), kill, *run(2, 11, 4.0, 4.1)) == [Kind.DUPLICATE]


def test_one_kill_excuses_one_further_run_and_not_two():
    history = [ENQUEUED, *run(1, 10, 1.0), Killed(pid=10, at=1.5), *run(2, 11, 4.0, 4.1), *run(3, 12, 5.0, 5.1)]
    assert kinds(*history) == [Kind.DUPLICATE]


def test_a_pause_past_the_lease_excuses_a_second_run():
    history = [ENQUEUED, *run(1, 10, 1.0, 7.0), Paused(pid=10, at=1.5, until=6.0), *run(2, 11, 4.0, 4.1)]
    assert violations(*history) == []


@pytest.mark.parametrize(
    "pause",
    [
        Paused(pid=10, at=1.5, until=2.0),
        Paused(pid=10, at=3.5, until=9.0),
        Paused(pid=12, at=1.5, until=6.0),
        Paused(pid=10, at=8.5, until=12.0),
    ],
    ids=["too short", "too short before the second run", "of another worker", "after it was settled"],
)
def test_a_pause_that_cannot_have_cost_the_lease_excuses_nothing(pause: Paused):
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 7.0), pause, *run(2, 11, 4.0, 4.1)) == [Kind.DUPLICATE]


def test_a_cut_past_the_lease_excuses_a_second_run_of_any_worker():
    history = [ENQUEUED, *run(1, 10, 1.0, 7.0), CutOff(at=1.5, until=6.0), *run(2, 11, 4.0, 4.1)]
    assert violations(*history) == []


@pytest.mark.parametrize("cut", [CutOff(at=1.5, until=2.0), CutOff(at=8.5, until=12.0)], ids=["too short", "after it"])
def test_a_cut_that_cannot_have_cost_the_lease_excuses_nothing(cut: CutOff):
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 7.0), cut, *run(2, 11, 4.0, 4.1)) == [Kind.DUPLICATE]


def test_a_cancelled_run_may_start_again_under_its_number():
    assert violations(ENQUEUED, *run(1, 10, 1.0, 1.1, "cancelled"), *run(1, 11, 2.0, 2.1)) == []


def test_a_kill_does_not_allow_an_attempt_number_twice():
    assert kinds(ENQUEUED, *run(1, 10, 1.0), Killed(pid=10, at=1.5), *run(1, 11, 4.0, 4.1)) == [Kind.ATTEMPT]


def test_an_attempt_number_may_be_skipped():
    # A worker that dies between claim and start uses up an attempt that nobody saw start.
    assert violations(ENQUEUED, *run(2, 10, 1.0, 1.1)) == []


def test_attempt_numbers_that_fall_are_seen():
    assert kinds(ENQUEUED, *run(2, 10, 1.0), Killed(pid=10, at=1.5), *run(1, 11, 4.0, 4.1)) == [Kind.ATTEMPT]


def test_an_attempt_beyond_what_the_task_allows_is_seen():
    assert kinds(ENQUEUED, *run(4, 10, 1.0, 1.1)) == [Kind.ATTEMPT]


def test_a_start_before_the_delay_has_passed_is_early():
    assert kinds(Enqueued(task="t", at=0.0, delay=3.0), *run(1, 10, 2.9, 3.1)) == [Kind.EARLY]


def test_a_start_within_the_slack_of_two_clocks_is_not_early():
    assert violations(Enqueued(task="t", at=0.0, delay=3.0), *run(1, 10, 2.96, 3.1)) == []


def test_a_retry_before_its_delay_has_passed_is_early():
    assert kinds(ENQUEUED, *run(1, 10, 1.0, 1.1, "failed"), *run(2, 11, 6.0, 6.1)) == [Kind.EARLY]


def test_a_kill_while_a_failure_is_settled_may_leave_two_where_the_broker_cannot_move():
    twice = [ENQUEUED, *run(1, 10, 1.0, 1.1, "failed"), Killed(pid=10, at=1.5)]
    twice += [*run(2, 11, 6.2, 6.3), *run(2, 12, 7.0, 7.1)]
    assert check(twice, lease=LEASE, atomic_move=False) == []
    assert {violation.kind for violation in check(twice, lease=LEASE)} == {Kind.ATTEMPT, Kind.DUPLICATE}


@pytest.mark.parametrize(
    "first",
    [
        [*run(1, 10, 1.0, 1.1, "failed"), Killed(pid=10, at=2.2)],  # it was settled long before
        [*run(1, 10, 1.0, 1.1, "failed"), Killed(pid=11, at=1.5)],  # another one
        [*run(1, 10, 1.0, 1.1), Killed(pid=10, at=1.5)],  # nothing was to run again
    ],
)
def test_nothing_else_may_leave_two_where_the_broker_cannot_move(first: list[Event]):
    history = [ENQUEUED, *first, *run(2, 11, 6.2, 6.3), *run(2, 12, 7.0, 7.1)]
    assert Kind.DUPLICATE in {violation.kind for violation in check(history, lease=LEASE, atomic_move=False)}


def test_each_task_is_judged_for_itself():
    other = Enqueued(task="other", at=0.0)
    found = violations(ENQUEUED, other, *run(1, 10, 1.0, 1.1), *run(2, 11, 2.0, 2.1))
    assert [(violation.task, violation.kind) for violation in found] == [("other", Kind.LOST), ("t", Kind.DUPLICATE)]


def test_duplicates_are_the_runs_beyond_the_first():
    assert duplicates([ENQUEUED, *run(1, 10, 1.0), *run(2, 11, 4.0, 4.1)]) == 1


FAILED_OVER = FailedOver(at=10.0, until=10.5)


@pytest.mark.parametrize(
    "enqueued",
    [
        Enqueued(task="t", at=10.2, acknowledged=10.3),
        Enqueued(task="t", at=9.0, acknowledged=10.1),  # it was acknowledged then, whenever it was asked for
        Enqueued(task="t", at=10.2),
    ],
)
def test_what_was_enqueued_while_a_replica_was_not_told_may_be_lost(enqueued: Enqueued):
    assert violations(enqueued, FAILED_OVER) == []
    assert violations(enqueued, FAILED_OVER, *run(1, 10, 10.4)) == []


@pytest.mark.parametrize(
    "enqueued",
    [
        Enqueued(task="t", at=9.0, acknowledged=9.9),
        Enqueued(task="t", at=10.6, acknowledged=10.7),
        Enqueued(task="t", at=10.4, acknowledged=14.0),
    ],
    ids=["before", "afterwards", "asked for meanwhile and acknowledged afterwards, by the replica"],
)
def test_nothing_else_may_be_lost_by_a_failover_whatever_was_done_with_it_meanwhile(enqueued: Enqueued):
    assert kinds(enqueued, FAILED_OVER) == [Kind.LOST]
    assert kinds(enqueued, FAILED_OVER, *run(1, 10, 10.6)) == [Kind.LOST]


@pytest.mark.parametrize(
    ("before", "number"),
    [
        (run(1, 10, 10.1, 10.2), 1),  # claimed and settled then: all of it is forgotten
        (run(1, 10, 9.0, 10.2), 2),  # settled then
        (run(1, 10, 9.0, 9.2), 2),  # and so may this have been, a second after it ended
        (run(1, 10, 10.4, 12.0), 1),  # claimed then: somebody else gets it while it runs
        (run(1, 10, 10.4), 2),
    ],
)
def test_what_was_claimed_or_settled_while_a_replica_was_not_told_may_run_again(before: list[Event], number: int):
    assert violations(ENQUEUED, *before, FAILED_OVER, *run(number, 11, 15.0, 15.1)) == []


@pytest.mark.parametrize(
    "before",
    [run(1, 10, 8.0, 8.9), run(1, 10, 10.6, 10.7), run(1, 10, 9.0, 13.0)],
    ids=["settled before", "claimed afterwards", "claimed before and settled afterwards"],
)
def test_nothing_else_may_run_again_by_a_failover(before: list[Event]):
    assert kinds(ENQUEUED, *before, FAILED_OVER, *run(2, 11, 15.0, 15.1)) == [Kind.DUPLICATE]


def test_a_claim_that_a_replica_was_told_of_keeps_its_number():
    assert kinds(ENQUEUED, *run(1, 10, 9.0, 10.2), FAILED_OVER, *run(1, 11, 15.0, 15.1)) == [Kind.ATTEMPT]


def test_a_failover_that_takes_as_long_as_leases_may_let_them_end():
    long = FailedOver(at=10.0, until=10.0 + LEASE)
    assert violations(ENQUEUED, *run(1, 10, 9.0, 20.0), long, *run(2, 11, 15.0, 15.1)) == []
    assert kinds(Enqueued(task="t", at=0.0, delay=20.0), long, *run(1, 11, 15.0, 15.1)) == [Kind.EARLY]
