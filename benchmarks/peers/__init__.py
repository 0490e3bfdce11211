"""Who is measured: each peer's pins, brokers and what is particular about it. Each script beside this file is one peer.

A script is called as `python with_NAME.py COMMAND` with what it needs in the environment (see `work.py`); a client answers in one
line of JSON, `{"tasks": N, "seconds": ...}`:

    dispatch single|gather|many N async|sync    dispatches N no-op tasks and leaves them in the broker
    pings N                                     dispatches N pings, 10 ms apart, to a worker that waits for them
    worker async|sync                           serves until SIGTERM; concurrency 100, acknowledges after the run
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Broker = Literal["redis", "postgres", "mysql", "sqlite"]

HERE = "asynctasq"
"""The peer that the others are compared with: this tree."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One system on the brokers that it speaks.

    Attributes:
        name: of its script and its environment.
        brokers: on which it is measured.
        requirements: what is installed into its environment, pinned.
        acks: when a task is given up by the broker: "after" its run (at-least-once) or "before" (at-most-once).
        kinds: what it runs: "async" functions, "sync" functions.
        ways: how it dispatches: "single" one awaited after the other, "gather" 100 at a time, "many" in one call.
        note: what a reader must know to judge its figures.
        bare: whether it is no task queue, but the limit that the broker and its client set.
    """

    name: str
    brokers: tuple[Broker, ...]
    requirements: tuple[str, ...]
    acks: Literal["after", "before"] = "after"
    kinds: frozenset[str] = frozenset({"async", "sync"})
    ways: frozenset[str] = frozenset({"single", "gather"})
    note: str = ""
    bare: bool = False


SYNC = frozenset({"sync"})
ASYNC = frozenset({"async"})
SINGLE = frozenset({"single"})
EVERY_WAY = frozenset({"single", "gather", "many"})

BARE = "the client library alone: no retries, timeouts, heartbeats or logging"
LIMIT = {"kinds": ASYNC, "ways": EVERY_WAY, "bare": True}

PEERS = (
    Peer(HERE, ("redis", "postgres", "mysql", "sqlite"), ("-e", ".[all]"), ways=EVERY_WAY),
    Peer("bare_redis", ("redis",), ("redis==8.1.0", "hiredis==3.5.0", "uvloop==0.23.0"), note=BARE, **LIMIT),
    Peer("bare_postgres", ("postgres",), ("asyncpg==0.32.0", "uvloop==0.23.0"), note=BARE, **LIMIT),
    Peer(
        "bare_mysql",
        ("mysql",),
        ("aiomysql==0.3.2", "PyMySQL==1.2.0", "uvloop==0.23.0"),
        note=BARE,
        **LIMIT,
    ),
    Peer("bare_sqlite", ("sqlite",), ("apsw==3.51.3.0",), note=BARE, **LIMIT),
    Peer(
        "taskiq",
        ("redis",),
        ("taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", "hiredis==3.5.0", "uvloop==0.23.0"),
        note="streams; XACK never deletes, so its stream grows",
    ),
    Peer("streaq", ("redis",), ("streaq==7.2.0", "uvloop==0.23.0"), ways=EVERY_WAY, note="task results are not kept"),
    Peer(
        "arq",
        ("redis",),
        ("arq==0.28.0", "hiredis==3.5.0", "uvloop==0.23.0"),
        kinds=ASYNC,
        note="reads at most 500 ids per poll, polls every 0.5 s (its default)",
    ),
    Peer(
        "saq",
        ("redis", "postgres"),
        ("saq[redis,postgres]==0.26.4", "psycopg[binary]==3.3.9", "hiredis==3.5.0", "uvloop==0.23.0"),
        note="heartbeat and sweep as by default",
    ),
    Peer(
        "dramatiq",
        ("redis",),
        ("dramatiq[redis]==2.2.1", "hiredis==3.5.0"),
        ways=SINGLE,
        note="8 threads and dramatiq_queue_prefetch=1000, its best; async functions run on one loop thread",
    ),
    Peer(
        "celery",
        ("redis",),
        ("celery[redis]==5.7.0", "hiredis==3.5.0"),
        kinds=SYNC,
        ways=SINGLE,
        note="acks_late, 16 threads; no async functions",
    ),
    Peer(
        "rq",
        ("redis",),
        ("rq==3.0.0", "hiredis==3.5.0"),
        kinds=SYNC,
        ways=frozenset({"single", "many"}),
        note="SimpleWorker: one at a time in the process; its default forks for each job",
    ),
    Peer(
        "asynctasq_1_7",
        ("redis", "mysql"),
        ("asynctasq[redis,mysql]==1.7.0", "hiredis==3.5.0"),
        note="an earlier, other implementation; what a killed worker held is not given back",
    ),
    Peer(
        "procrastinate",
        ("postgres",),
        ("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9", "uvloop==0.23.0"),
        ways=EVERY_WAY,
        note="stalled jobs must be retried by the application",
    ),
    Peer(
        "pgqueuer",
        ("postgres",),
        ("pgqueuer[asyncpg]==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"),
        ways=EVERY_WAY,
        note="batch 50; synchronous functions by asyncio.to_thread, as its documentation says",
    ),
    Peer(
        "huey",
        ("sqlite",),
        ("huey==3.5.4",),
        acks="before",
        kinds=SYNC,
        ways=SINGLE,
        note="at-most-once; 4 threads, its best; synchronous=FULL",
    ),
)
