"""What a server tells of itself, and what an operator should make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asynctasq.ports.examination import Finding


def findings(told: Mapping[str, Any], *, schema: str, notify: bool, connections: int) -> list[Finding]:
    """What to say of the row of examine.sql.

    Args:
        told: the row.
        schema: what holds the tables.
        notify: whether hints are given and listened to.
        connections: how many this process may open.
    """
    durable = told["fsync"] == "on" and told["commit"] != "off"
    missing: Sequence[str] = told["missing"]
    grant = f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO "{told["user"]}"'
    return [
        Finding(subject="server", said=f"PostgreSQL {told['version']}"),
        Finding(
            subject="role",
            said="replica" if told["replica"] else "primary",
            mend="it takes no writes: give the address of the primary" if told["replica"] else "",
        ),
        Finding(subject="schema", said=f"the tables of {schema!r} are those that this asynctasq needs"),
        Finding(
            subject="permissions",
            said=f"{told['user']} lacks {', '.join(missing)}"
            if missing
            else f"{told['user']} may do all that is needed",
            mend=grant if missing else "",
        ),
        Finding(
            subject="persistence",
            said=f"fsync {told['fsync']}, synchronous_commit {told['commit']}",
            mend="" if durable else "the last tasks are lost when the server's machine dies: set both to on",
        ),
        Finding(
            subject="isolation",
            said=told["isolation"],
            mend=""
            if told["isolation"] == "read committed"
            else f'claims that meet are refused and tried again: ALTER ROLE "{told["user"]}" '
            "SET default_transaction_isolation = 'read committed'",
        ),
        Finding(
            subject="connections",
            said=f"a process may open {connections} and one that listens; the server takes {told['max_connections']}",
            mend="lower postgres.max_connections, or raise the server's"
            if connections + 1 > told["max_connections"]
            else "",
        ),
        Finding(
            subject="hints",
            said="LISTEN and NOTIFY" if notify else "off (postgres.notify): waiting workers look by themselves",
        ),
    ]
