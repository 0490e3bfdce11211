"""The limit on SQLite, synchronous=FULL: apsw; one transaction claims 100 with a lease, one deletes them."""

from __future__ import annotations

import time

import apsw
import work

CLAIM = """
UPDATE queue SET due = ?1 + 30, receipt = 'r' WHERE seq IN
  (SELECT seq FROM queue WHERE name = 'q' AND due <= ?1 ORDER BY due, seq LIMIT 100) RETURNING seq, body
"""
PUT = "INSERT INTO queue (id, name, body, due) VALUES (hex(randomblob(16)), 'q', ?, 0)"
BODY = b"x" * 40


def opened() -> apsw.Connection:
    db = apsw.Connection(work.URL.removeprefix("sqlite:///"))
    db.set_busy_timeout(5_000)
    db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS queue"
        " (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, name TEXT, body BLOB, due REAL, receipt TEXT);"
        "CREATE INDEX IF NOT EXISTS queue_due ON queue (name, due, seq)"
    )
    return db


def put(db: apsw.Connection, n: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(PUT, [(BODY,)] * n)
    db.execute("COMMIT")


def serve(db: apsw.Connection) -> None:
    while True:
        db.execute("BEGIN IMMEDIATE")
        rows = list(db.execute(CLAIM, (time.time(),)))
        db.execute("COMMIT")
        if not rows:
            time.sleep(0.01)
            continue
        for _ in rows:
            work.noop()
        db.execute("BEGIN IMMEDIATE")
        db.executemany("DELETE FROM queue WHERE seq = ? AND receipt = 'r'", [(seq,) for seq, _ in rows])
        db.execute("COMMIT")


def main(command: str, *arguments: str) -> None:
    db = opened()
    if command == "worker":
        serve(db)
    elif command == "dispatch":
        way, n, _ = arguments

        def many(n: int) -> None:
            for begin in range(0, n, 100):
                put(db, min(100, n - begin))

        work.dispatch_sync(way, int(n), lambda: put(db, 1), many)


if __name__ == "__main__":
    main(*work.asked())
