"""Which servers and tables will do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from asynctasq.domain.errors import ConfigurationError

VERSION = 1
"""Of the tables; what install.sql writes down."""

OLDEST = {"MariaDB": (10, 6, 0), "MySQL": (8, 0, 1)}
"""The oldest servers that know SKIP LOCKED."""

BLOB = 2**24 - 1
"""The most bytes that a MEDIUMBLOB holds."""

AROUND_A_BODY = 8192
"""Bytes of a packet that are left for what stands around a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """What a server can be relied on for.

    Attributes:
        max_packet: the most bytes that it takes or sends at once.
        durable: whether what it acknowledged survives kill -9.
    """

    max_packet: int
    durable: bool

    @property
    def max_body(self) -> int:
        """The most bytes of a body: it is written in hexadecimal, thus twice as long, into one packet."""
        return min(BLOB, (self.max_packet - AROUND_A_BODY) // 2)


def fitness_of(variables: Mapping[str, str], where: str) -> Fitness:
    """What a server can be relied on for, from its variables.

    Raises:
        ConfigurationError: it will not do.
    """
    version = variables["version"]
    product = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    # Behind old proxies a MariaDB calls itself 5.5.5-10.11.18-MariaDB.
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", version.removeprefix("5.5.5-"))
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST[product]:
        least = ", ".join(f"{name} {'.'.join(map(str, oldest))}" for name, oldest in OLDEST.items())
        raise ConfigurationError(f"{where} is {product} {version}: use {least} or newer")
    if variables.get("log_bin") == "ON" and variables.get("binlog_format") == "STATEMENT":
        raise ConfigurationError(
            f"{where} has binlog_format=STATEMENT, in which no queue can be replicated: set it to ROW"
        )
    return Fitness(
        max_packet=int(variables["max_allowed_packet"]),
        durable=variables.get("innodb_flush_log_at_trx_commit", "1") != "0",
    )


def refusal_of_tables(tables: int | None, where: str) -> ConfigurationError | None:
    """Why the tables of a version will not do; None if they will."""
    if tables is None or tables < VERSION:
        return ConfigurationError(
            f"{where} has tables of version {tables}, this asynctasq needs {VERSION}: run `asynctasq migrate`"
        )
    if tables > VERSION:
        return ConfigurationError(
            f"{where} has tables of version {tables}, this asynctasq knows {VERSION}: upgrade asynctasq"
        )
    return None
