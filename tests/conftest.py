"""The servers that the tests share, and a header that says which."""

import pytest
from tests.minutes import Minutes
from tests.services import mariadb, postgres, redis, sqs
from tests.services.mariadb import mysql_url
from tests.services.pgbouncer import pgbouncer_url
from tests.services.postgres import postgres_url
from tests.services.redis import redis_cluster_url, redis_sentinel_url, redis_tls_url, redis_url, valkey_url
from tests.services.sqs import _aws_environ, moto_url, sqs_url

__all__ = [
    "_aws_environ",
    "moto_url",
    "mysql_url",
    "pgbouncer_url",
    "postgres_url",
    "redis_cluster_url",
    "redis_sentinel_url",
    "redis_tls_url",
    "redis_url",
    "sqs_url",
    "valkey_url",
]


def pytest_report_header() -> str:
    return f"services: {redis.described()}, {postgres.described()}, {mariadb.described()}, {sqs.described()}"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Minutes())
