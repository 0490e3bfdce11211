"""Classic bugs of queue drivers, each seeded into a copy of a real driver: what does the contract say to them?

    python -m tests.contract.seeded_bugs    the table of docs/seeded-bugs.md

A copy is the driver's own source with one text replaced. It is imported under a name of its own, beside the real one, and runs
on the real broker.
"""

from __future__ import annotations

import importlib
import itertools
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVERS = Path(__file__).parents[2] / "src" / "asynctasq" / "adapters" / "drivers"
CLASSES = {
    "memory": "MemoryDriver",
    "sqlite": "SQLiteDriver",
    "redis": "RedisDriver",
    "postgres": "PostgresDriver",
    "mysql": "MySQLDriver",
    "sqs": "SQSDriver",
}

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Edit:
    """One text in one file of a driver, and what is put in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug.

    Attributes:
        name: what the driver does wrong.
        driver: into which it is seeded.
        edits: how.
        caught_by: promises that fail on it, the telling ones; none if it survives.
        why: why it survives.
    """

    name: str
    driver: str
    edits: Sequence[Edit]
    caught_by: Sequence[str] = ()
    why: str = ""


def copy_of(driver: str, folder: Path, edits: Sequence[Edit] = ()) -> Any:
    """The class of a copy of a driver, with edits.

    Args:
        driver: which one.
        folder: where the copy is kept; on the path of imports.
        edits: each must find its text once.
    """
    name = f"seeded_{driver}_{next(_numbers)}"
    shutil.copytree(DRIVERS / driver, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits:
        file = folder / name / edit.file
        text = file.read_text()
        assert text.count(edit.old) == 1, f"{driver}/{edit.file} has {text.count(edit.old)} times: {edit.old!r}"
        file.write_text(text.replace(edit.old, edit.new))
    for file in (folder / name).rglob("*.py"):
        file.write_text(file.read_text().replace(f"asynctasq.adapters.drivers.{driver}", name))
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return getattr(importlib.import_module(name), CLASSES[driver])


def forget(driver_class: Any) -> None:
    """Let go of a copy's modules."""
    package = driver_class.__module__.partition(".")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


BUGS = [
    # Claims
    Bug(
        "looks, then takes: two claimers may take the same",
        "postgres",
        [Edit("sql/claim.sql", "        FOR UPDATE SKIP LOCKED\n", "")],
        ["test_racing_claimers_get_each_message_once"],
    ),
    Bug(
        "gives the same receipt at each claim",
        "redis",
        [Edit("driver.py", "token = os.urandom(8)", 'token = b"receipts"')],
        ["test_every_claim_gives_a_new_receipt"],
    ),
    Bug(
        "gives receipts that are the row's number",
        "sqlite",
        [
            Edit("sql/lease.sql", "receipt = ?2 + seq,", "receipt = seq + 0 * ?2,"),
            Edit("store.py", 'f"{due.seq}-{token + due.seq}"', 'f"{due.seq}-{due.seq}"'),
        ],
        ["test_every_claim_gives_a_new_receipt"],
    ),
    Bug(
        "drops what a cancelled claim got",
        "redis",
        [
            Edit(
                "driver.py",
                "            self._background.begin(self._give_back(server, asking, queues, token, began + lease))\n",
                "",
            )
        ],
        ["test_a_cancelled_claim_loses_nothing"],
    ),
    Bug(
        "hangs up on the broker when a claim is cancelled",
        "sqs",
        [
            Edit(
                "polls.py",
                "            for poll in polls.values():\n                self._leave(poll)\n            raise\n",
                "            for poll in polls.values():\n                poll.receiving.cancel()\n            raise\n",
            )
        ],
        ["test_a_cancelled_claim_loses_nothing"],
    ),
    Bug(
        "lists the messages of several queues by age",
        "postgres",
        [Edit("sql/claim.sql", "ORDER BY n, visible_at, seq", "ORDER BY visible_at, seq")],
        ["test_a_claim_that_spans_queues_lists_the_urgent_ones_first"],
    ),
    Bug(
        "passes over the other queues while the one flows that filled its last claim",
        "mysql",
        [
            Edit(
                "driver.py",
                "if flow is not None and queues == [flow.queue]:",
                "if flow is not None and flow.queue in queues:",
            ),
            Edit(
                "driver.py",
                "self._take(queues, limit, lease, worker, flow)",
                "self._take([flow.queue], limit, lease, worker, flow)",
            ),
        ],
        ["test_a_claim_that_filled_up_does_not_make_the_next_pass_over_the_other_queues"],
    ),
    Bug(
        "says that a batch is acked if any of it was",
        "mysql",
        [Edit("sql/all.sql", "CAST(ROW_COUNT() AS UNSIGNED) - :count", "ROW_COUNT() - :count")],
        ["test_a_lost_settlement_does_not_disturb_its_neighbours"],
    ),
    Bug(
        "lets one queue that cannot be used keep it from the others",
        "sqs",
        [
            Edit("driver.py", "except UNUSABLE as error:", "except () as error:"),
        ],
        ["test_a_queue_that_cannot_be_used_holds_up_no_other"],
    ),
    Bug(
        "serves the last in first",
        "sqlite",
        [Edit("sql/due.sql", "ORDER BY visible_at, seq", "ORDER BY visible_at DESC, seq DESC")],
        ["test_ready_messages_come_in_the_order_of_their_enqueue"],
    ),
    # Attempts
    Bug(
        "counts the attempt when it is settled, not when it is handed out",
        "redis",
        [
            Edit(
                "lua/claim.lua",
                "struct.pack('>c8I4I4', token, attempts + 1, expiries)",
                "struct.pack('>c8I4I4', token, attempts, expiries)",
            )
        ],
        ["test_each_ended_lease_counts_an_expiry_and_an_attempt"],
    ),
    Bug(
        "counts no attempt beyond the first",
        "postgres",
        [Edit("sql/claim.sql", "attempt = least(attempt, 2147483646) + 1", "attempt = greatest(attempt, 1)")],
        ["test_retry_spends_the_attempt"],
    ),
    Bug(
        "forgets the attempts when it retries, as an ack and a new enqueue do",
        "sqs",
        [
            Edit(
                "copies.py",
                "return _copy(claim, attempts=claim.attempt, expiries=claim.expiries, delay=verdict.delay)",
                "return _copy(claim, delay=verdict.delay)",
            )
        ],
        ["test_retry_spends_the_attempt"],
    ),
    Bug(
        "spends the attempt of what is released",
        "redis",
        [Edit("lua/settle.lua", "show(id, delay, attempts - 1, expiries)", "show(id, delay, attempts, expiries)")],
        ["test_release_refunds_the_attempt"],
    ),
    Bug(
        "gives the attempt of what failed back",
        "sqlite",
        [Edit("sql/retry.sql", "SET visible_at = ?4,", "SET visible_at = ?4, attempt = max(attempt - 1, 0),")],
        ["test_retry_spends_the_attempt"],
    ),
    Bug(
        "keeps no count of leases that ended",
        "sqlite",
        [Edit("sql/lease.sql", "expiries = expiries + (receipt IS NOT NULL)", "expiries = expiries")],
        ["test_each_ended_lease_counts_an_expiry_and_an_attempt"],
    ),
    # Leases
    Bug(
        "never takes up what a dead worker left: only unclaimed messages are claimed",
        "redis",
        [
            Edit(
                "lua/claim.lua",
                "if redis.call('ZCOUNT', K.leased, '-inf', text(at)) == 0 then return due end",
                "do return due end",
            )
        ],
        ["test_a_lease_that_ends_shows_the_message_again"],
    ),
    Bug(
        "never takes up what has a holder, dead or alive",
        "sqlite",
        [Edit("sql/due.sql", "visible_at <= ?2\n", "visible_at <= ?2 AND receipt IS NULL\n")],
        ["test_a_lease_that_ends_shows_the_message_again"],
    ),
    Bug(
        "takes everything up when it connects, from the living too",
        "sqlite",
        [
            Edit(
                "store.py",
                "    soonest = _soonest(connection, queues)\n    if soonest is None:",
                "    freed = _soonest.__dict__.setdefault('freed', [])\n"
                "    if not any(one is connection for one in freed):\n"
                "        freed.append(connection)\n"
                "        connection.execute('UPDATE message SET visible_at = 0 WHERE receipt IS NOT NULL')\n"
                "    soonest = _soonest(connection, queues)\n    if soonest is None:",
            )
        ],
        ["test_a_claimed_message_is_hidden"],
    ),
    Bug(
        "leases for a fixed time, whatever it is asked for",
        "redis",
        [Edit("lua/claim.lua", "text(at + lease), id", "text(at + 30000000), id")],
        ["test_a_lease_that_ends_during_the_wait_ends_it"],
    ),
    Bug(
        "leases for milliseconds instead of seconds",
        "postgres",
        [Edit("sql/claim.sql", "(SELECT at FROM clock) + $3", "(SELECT at FROM clock) + $3::bigint / 1000")],
        ["test_a_claimed_message_is_hidden"],
    ),
    Bug(
        "takes an extension from anybody",
        "redis",
        [Edit("lua/extend.lua", "token ~= FREE and token == A[2 * i + 1]", "token ~= FREE")],
        ["test_a_superseded_receipt_extends_nothing"],
    ),
    Bug(
        "extends by the row, without the receipt",
        "postgres",
        [
            Edit(
                "sql/extend.sql",
                "WHERE message.seq = held.seq AND message.receipt = held.receipt",
                "WHERE message.seq = held.seq",
            )
        ],
        ["test_a_superseded_receipt_extends_nothing"],
    ),
    Bug(
        "refuses to extend what has ended by the clock, though nobody took it",
        "sqlite",
        [
            Edit(
                "sql/extend.sql",
                "receipt = ?3 RETURNING",
                "receipt = ?3 AND visible_at > unixepoch() * 1000000 RETURNING",
            )
        ],
        ["test_a_lease_that_ended_but_was_not_superseded_is_kept"],
    ),
    Bug(
        "measures the deadline of a lease from the answer instead of the request",
        "redis",
        [
            Edit(
                "driver.py",
                "return claims_of(claimed, queues, token, began + lease)",
                "return claims_of(claimed, queues, token, time.monotonic() + lease)",
            )
        ],
        ["test_a_deadline_has_passed_before_the_message_is_shown_again_however_late_the_answer_was_heard"],
    ),
    Bug(
        "gives the deadline of a lease on the wall clock",
        "redis",
        [
            Edit(
                "driver.py",
                "return claims_of(claimed, queues, token, began + lease)",
                "return claims_of(claimed, queues, token, time.time() + lease)",
            )
        ],
        ["test_the_deadline_is_the_end_of_the_lease_on_our_monotonic_clock"],
    ),
    # Settlements
    Bug(
        "acks without looking at the receipt",
        "redis",
        [
            Edit(
                "lua/settle.lua",
                "token == holder and holder ~= FREE and not settled[id]",
                "holder ~= FREE and not settled[id]",
            )
        ],
        ["test_a_superseded_receipt_settles_nothing"],
    ),
    Bug(
        "acks by the row, without the receipt",
        "postgres",
        [
            Edit(
                "sql/ack.sql",
                "WHERE message.seq = given.seq AND message.receipt = given.receipt",
                "WHERE message.seq = given.seq",
            )
        ],
        ["test_a_superseded_receipt_settles_nothing"],
    ),
    Bug(
        "leaves the receipt valid after a retry",
        "sqlite",
        [Edit("sql/retry.sql", "receipt = NULL, worker = NULL,", "worker = NULL,")],
        ["test_a_second_settlement_of_a_receipt_is_lost"],
    ),
    Bug(
        "settles a receipt twice if it comes twice in a batch",
        "redis",
        [Edit("lua/settle.lua", " and not settled[id]", "")],
        ["test_the_same_receipt_twice_in_a_batch_is_settled_once"],
    ),
    Bug(
        "deletes, and then inserts anew, what is to be retried",
        "sqlite",
        [
            Edit(
                "store.py",
                "            for n in _carry_out[kind](connection, list(run), at):\n"
                "                answers[n] = _DONE\n    return answers",
                """            for n in _carry_out[kind](connection, list(run), at):
                answers[n] = _DONE
        rows = connection.execute("SELECT * FROM message WHERE receipt IS NULL AND attempt > 0").fetchall()
        connection.execute("DELETE FROM message WHERE receipt IS NULL AND attempt > 0")
    time.sleep(0.002)
    with transaction(connection):
        for row in rows:
            connection.execute(f"INSERT INTO message VALUES ({', '.join('?' * len(row))})", row)
    return answers""",
            )
        ],
        ["test_a_message_that_moves_is_never_gone"],
    ),
    Bug(
        "shows what is released at once, whatever its delay",
        "postgres",
        [
            Edit(
                "sql/settle.sql",
                "SET visible_at = clock.at + given.delay,",
                "SET visible_at = CASE given.verdict WHEN 'release' THEN clock.at ELSE clock.at + given.delay END,",
            )
        ],
        ["test_release_with_a_delay_hides_the_message_until_it_has_passed"],
    ),
    Bug(
        "leaves what is done in its queue's index",
        "memory",
        [
            Edit(
                "store.py",
                "        self._queues[entry.message.queue].drop(entry)\n        entry.receipt = None\n",
                "        entry.receipt = None\n",
            )
        ],
        ["test_ack_forgets_for_good"],
    ),
    # Time
    Bug(
        "shows a message at once while there is less than a second left",
        "sqlite",
        [
            Edit("sql/due.sql", "visible_at <= ?2\n", "visible_at <= ?2 + 1000000\n"),
            Edit("store.py", "if (left := soonest - now()) > 0:", "if (left := soonest - now() - 1_000_000) > 0:"),
        ],
        ["test_no_message_is_shown_before_its_delay_has_passed"],
    ),
    Bug(
        "takes a long delay for the longest that the broker can hold",
        "sqs",
        [Edit("received.py", "early=envelope.left - (first - sent) / 1000", "early=0.0")],
        ["test_retry_hides_the_message_until_its_delay_has_passed"],
    ),
    Bug(
        "tells the time of the enqueue in microseconds",
        "sqlite",
        [Edit("store.py", "enqueued_at=in_seconds(due.enqueued_at),", "enqueued_at=due.enqueued_at,")],
        ["test_the_time_of_the_enqueue_is_kept_through_every_attempt"],
    ),
    Bug(
        "counts a delay from the producer's clock instead of the broker's",
        "redis",
        [
            Edit(
                "arguments.py",
                "return packed_id(message.id), in_microseconds(message.delay), message.body",
                "import time\n\n    due = int(time.time() * 1_000_000) + in_microseconds(message.delay)\n"
                "    return packed_id(message.id), due if message.delay else 0, message.body",
            ),
            Edit("lua/enqueue.lua", "at + delay + i", "delay + i"),
        ],
        ["test_a_delay_is_counted_on_the_clock_of_the_broker"],
    ),
    # Waiting
    Bug(
        "wakes nobody: a waiting claim looks when its time is over",
        "redis",
        [
            Edit(
                "lua/prelude.lua",
                "    if redis.call('DEL', K.idle) == 1 then redis.pcall('PUBLISH', K.idle, '') end\n",
                "",
            )
        ],
        ["test_a_late_arrival_ends_the_wait"],
    ),
    Bug(
        "relies on its notifications alone: what becomes due by itself is not looked for",
        "postgres",
        [
            Edit(
                "sql/claim.sql",
                "        WHERE message.queue = wanted.queue\n        ORDER BY message.visible_at\n",
                "        WHERE message.queue = wanted.queue AND message.visible_at < 0\n        ORDER BY message.visible_at\n",
            )
        ],
        ["test_a_delayed_message_that_becomes_due_ends_the_wait"],
    ),
    Bug(
        "sleeps through the ends of leases",
        "postgres",
        [
            Edit(
                "sql/claim.sql",
                "        WHERE message.queue = wanted.queue\n        ORDER BY message.visible_at\n",
                "        WHERE message.queue = wanted.queue AND message.receipt IS NULL\n        ORDER BY message.visible_at\n",
            )
        ],
        ["test_a_lease_that_ends_during_the_wait_ends_it"],
    ),
    Bug(
        "notifies nobody outside its own process",
        "postgres",
        [Edit("sql/notify.sql", "SELECT pg_notify($1, told.queue)::text", "SELECT $1::text || told.queue")],
        ["test_an_arrival_from_a_sibling_ends_the_wait"],
    ),
    Bug(
        "hints only at what is due, not at what will be",
        "memory",
        [
            Edit(
                "store.py",
                "if self._queues[queue].put(entry, visible_at):",
                "if self._queues[queue].put(entry, visible_at) and visible_at <= self._clock():",
            )
        ],
        ["test_a_delayed_message_that_arrives_during_the_wait_ends_it_when_due"],
    ),
    Bug(
        "wakes waiting claims of other threads as if they were its own",
        "memory",
        [Edit("store.py", "self._loop.call_soon_threadsafe(self._woken.set)", "self._woken.set()")],
        ["test_an_arrival_from_another_loop_ends_the_wait"],
    ),
    # Dead letters, identity, counts
    Bug(
        "drops a dead letter that has no error text",
        "postgres",
        [Edit("sql/settle.sql", "WHERE verdict = 'dead'\n", "WHERE verdict = 'dead' AND error <> ''\n")],
        ["test_dead_letters_are_found_by_id"],
    ),
    Bug(
        "keeps a dead letter's body as text",
        "sqlite",
        [
            Edit(
                "sql/dead_letter.sql",
                "SELECT id, queue, body, ?4",
                "SELECT id, queue, CAST(body AS TEXT), ?4",
            )
        ],
        ["test_a_dead_letter_keeps_what_there_was_to_know"],
    ),
    Bug(
        "requeues with the attempts already spent",
        "sqlite",
        [
            Edit("sql/requeue_dead.sql", "visible_at, enqueued_at)", "visible_at, enqueued_at, attempt)"),
            Edit("sql/requeue_dead.sql", "?2, enqueued_at FROM", "?2, enqueued_at, attempts FROM"),
        ],
        ["test_a_requeued_dead_letter_starts_again"],
    ),
    Bug(
        "keeps the first errors of a message instead of the last",
        "redis",
        [
            Edit(
                "lua/settle.lua",
                "if #errors > kept then table.remove(errors, 1) end",
                "if #errors > kept then table.remove(errors) end",
            )
        ],
        ["test_the_history_is_bounded_and_keeps_the_latest"],
    ),
    Bug(
        "keeps every error for ever",
        "postgres",
        [Edit("sql/settle.sql", "jsonb_array_length(history) >= $7", "jsonb_array_length(history) >= $7 + 1000")],
        ["test_the_history_is_bounded_and_keeps_the_latest"],
    ),
    Bug(
        "takes an id that is dead for a new one",
        "redis",
        [Edit("lua/enqueue.lua", "local any_dead = redis.call('HLEN', K.dead) > 0", "local any_dead = false")],
        ["test_an_id_that_is_dead_is_a_duplicate_and_stays_dead"],
    ),
    Bug(
        "overwrites a message whose id comes again",
        "postgres",
        [Edit("statements.py", "DO NOTHING", "DO UPDATE SET body = excluded.body")],
        ["test_an_id_that_is_ready_is_a_duplicate_and_changes_nothing"],
    ),
    Bug(
        "empties all queues when one is purged",
        "sqlite",
        [Edit("sql/purge.sql", "WHERE queue = ?1", "WHERE queue = ?1 OR 1")],
        ["test_purge_empties_one_queue_and_says_how_much_it_held"],
    ),
    Bug(
        "leaves receipts valid when a queue is purged",
        "memory",
        [
            Edit(
                "store.py",
                "                if entry.receipt is not None:\n                    del self._leased[entry.receipt]\n",
                "",
            )
        ],
        ["test_purge_supersedes_receipts"],
    ),
    Bug(
        "counts what is leased as delayed",
        "postgres",
        [Edit("sql/stats.sql", "visible_at > clock.at AND receipt IS NULL)", "visible_at > clock.at)")],
        ["test_stats_count_every_state"],
    ),
]


def table() -> str:
    """What the docs show: each bug, and what catches it."""
    lines = ["| A driver that | seeded into | is caught by |", "|---|---|---|"]
    for bug in BUGS:
        caught = "; ".join(promise.removeprefix("test_").replace("_", " ") for promise in bug.caught_by)
        lines.append(f"| {bug.name} | {bug.driver} | {caught or f'**nothing**: {bug.why}'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
