"""The servers that the tests share, and a header that says which."""

from tests.services import redis
from tests.services.redis import redis_url, valkey_url

__all__ = ["redis_url", "valkey_url"]


def pytest_report_header() -> str:
    return f"services: {redis.described()}"
