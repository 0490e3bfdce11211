"""What each driver declares, on one page, with a reason wherever it is less than the best.

The page is written by `python -m tests.contract.test_matrix > docs/capabilities.md`.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from asynctasq.app.container import BUILT_IN
from asynctasq.app.drivers import AVAILABLE
from asynctasq.app.settings import Settings
from asynctasq.ports.driver import Capabilities, DeadLetters, Inspector, Installable, Purgeable
from asynctasq.ports.examination import Examinable
from asynctasq.ports.search import Searchable

BEST = Capabilities(
    durable=True,
    max_delay=None,
    delay_resolution=0.001,
    ordered=True,
    fencing=True,
    idempotent_enqueue=True,
    atomic_batch=True,
    atomic_move=True,
    refunds_release=True,
    attempt_history=True,
    lease="timed",
    max_lease=None,
    max_body=None,
    claim_limit=None,
    exact_stats=True,
)
"""The most that any driver declares."""

RESERVED = ("priority", "unique", "group", "atomic_follow_up")
"""Fields of the port that no driver honours yet."""

OPTIONAL = (DeadLetters, Inspector, Purgeable, Installable, Examinable, Searchable)

REASONS: dict[str, dict[str, str]] = {
    "memory": {"durable": "The messages live in the process that holds them, and end with it."},
    "sqlite": {},
    "redis": {
        "atomic_batch": "A batch is stored by one script per queue and thousand messages; each of those is atomic.",
        "max_body": "A larger value makes everybody wait while it is copied; Redis itself ends at 512 MB.",
        "claim_limit": "The server does nothing else while a script runs, so no script handles more.",
    },
    "sqs": {
        "max_delay": "SQS holds a message for 15 minutes; what is to wait longer is sent anew each time, up to seven days.",
        "delay_resolution": "SQS counts whole seconds.",
        "ordered": "A standard queue has no order.",
        "fencing": (
            "A standard queue cannot tell who holds a message. The worker stops by itself what has lost its lease, and does not "
            "settle it, unless it is done."
        ),
        "idempotent_enqueue": (
            "A standard queue takes every message for a new one. A dispatch whose answer is lost is not sent again: the "
            "caller is told."
        ),
        "atomic_batch": "A request holds ten messages, and each succeeds or fails by itself.",
        "atomic_move": (
            "A message in SQS cannot be changed: a retry, a release, a dead letter and a long delay are a new message, sent "
            "before the old one is deleted. A crash in between makes two of one."
        ),
        "attempt_history": "It would have to travel with the message; the last error is kept in its dead letter.",
        "max_lease": "SQS hides a message for twelve hours after it was received, extensions included.",
        "max_body": "SQS takes 1 MiB of text; base64 and a dead letter's error need their share.",
        "claim_limit": "A request brings ten messages; a claim makes up to ten of them.",
        "exact_stats": "SQS counts approximately, and does not tell how old the oldest message is.",
    },
    "postgres": {
        "max_body": "The bodies of a batch are one parameter of one statement, which PostgreSQL ends at 1 GB."
    },
    "mysql": {
        "max_body": "A body travels in hexadecimal within one packet. This is half of MariaDB's default max_allowed_packet; "
        "what the server has is read at connect, up to the 16,777,215 bytes of a MEDIUMBLOB."
    },
}
"""Why a driver declares less than the best; anything else that is weaker is a mistake."""


def declared(driver: str) -> Capabilities:
    return BUILT_IN[driver](Settings()).capabilities


def weaker(driver: str) -> set[str]:
    capabilities = declared(driver)
    return {field.name for field in fields(BEST) if getattr(capabilities, field.name) != getattr(BEST, field.name)}


@pytest.mark.parametrize("driver", AVAILABLE)
def test_whatever_is_less_than_the_best_has_its_reason_and_nothing_else_has(driver: str) -> None:
    assert weaker(driver) == REASONS[driver].keys()


@pytest.mark.parametrize("field", RESERVED)
def test_reserved_fields_are_declared_by_nobody(field: str) -> None:
    assert not any(getattr(declared(driver), field) for driver in AVAILABLE)


def test_the_page_is_what_the_drivers_declare() -> None:
    assert Path("docs/capabilities.md").read_text() == page()


def page() -> str:
    lines = [
        "# What each driver can do",
        "",
        "Every driver keeps the promises of [the contract](contract.md). Where brokers differ, a driver says so here, the suite",
        "tests what it says, and the worker reads the same value. `python -m tests.contract.test_matrix` writes this page.",
        "",
        "| | " + " | ".join(AVAILABLE) + " |",
        "|---|" + "---|" * len(AVAILABLE),
    ]
    for field in fields(Capabilities):
        if field.name not in RESERVED:
            values = [_shown(field.name, getattr(declared(driver), field.name)) for driver in AVAILABLE]
            lines.append(f"| `{field.name}` | " + " | ".join(values) + " |")
    for protocol in OPTIONAL:
        kept = ["yes" if isinstance(BUILT_IN[driver](Settings()), protocol) else "no" for driver in AVAILABLE]
        lines.append(f"| `{protocol.__name__}` | " + " | ".join(kept) + " |")
    lines += ["", f"Nobody honours these yet, so asking for them is an error: {', '.join(map(_code, RESERVED))}."]
    for driver in AVAILABLE:
        if REASONS[driver]:
            lines += ["", f"## Why {driver} declares less", ""]
            lines += [f"* {_code(field)}: {reason}" for field, reason in REASONS[driver].items()]
    return "\n".join(lines) + "\n"


def _code(name: str) -> str:
    return f"`{name}`"


def _shown(field: str, value: object) -> str:
    match value:
        case None:
            return "no limit"
        case True:
            return "yes"
        case False:
            return "no"
        case int() if field == "max_body":
            return f"{value:,} bytes"
        case int() if field == "claim_limit":
            return f"{value:,} messages"
        case int() | float():
            return f"{value:g} s"
        case _:
            return str(value)


if __name__ == "__main__":
    print(page(), end="")
