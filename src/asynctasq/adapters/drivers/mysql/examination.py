"""What a server tells of itself, and what an operator should make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asynctasq.ports.examination import Finding

_REMEDY = "SET GLOBAL innodb_flush_log_at_trx_commit = 1, and in its configuration"
_FLUSHED = {
    "0": f"when it is killed it loses the last second: {_REMEDY}",
    "2": f"when its machine dies it loses the last second: {_REMEDY}",
}

WRITING = ("INSERT", "UPDATE", "DELETE")
"""What a queue's user must be allowed beside SELECT, without which there is no examination."""


def findings(
    variables: Mapping[str, str], *, missing: Sequence[str] = (), connections: int, max_body: int
) -> list[Finding]:
    """What to say of the server's variables, and of what this user may do.

    Args:
        variables: by name.
        missing: those of `WRITING` that the user lacks.
        connections: how many this process may open.
        max_body: the bytes of a body that fit through.
    """
    read_only = variables.get("read_only", "OFF") not in {"OFF", "0"}
    flushed, most = variables.get("innodb_flush_log_at_trx_commit", "1"), int(variables.get("max_connections", "0"))
    return [
        Finding(subject="server", said=variables.get("version", "it does not tell its version")),
        Finding(
            subject="role",
            said="read only" if read_only else "takes writes",
            mend="it takes no writes: give the address of the primary" if read_only else "",
        ),
        Finding(subject="schema", said="the tables are those that this asynctasq needs"),
        Finding(
            subject="permissions",
            said=f"this user lacks {', '.join(missing)}" if missing else "this user may do all that is needed",
            mend=f"GRANT {', '.join(missing)} on the tables of asynctasq to it" if missing else "",
        ),
        Finding(
            subject="persistence",
            said=f"innodb_flush_log_at_trx_commit {flushed}",
            mend=_FLUSHED.get(flushed, ""),
        ),
        Finding(
            subject="connections",
            said=f"a process may open {connections}; the server takes {most}",
            mend="lower mysql.max_connections, or raise the server's" if 0 < most < connections else "",
        ),
        Finding(subject="bodies", said=f"up to {max_body:,} bytes, by max_allowed_packet"),
    ]
