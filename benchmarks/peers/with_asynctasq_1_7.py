"""asynctasq 1.7.0 from the index: an earlier, other implementation. Acknowledges after the run."""

from __future__ import annotations

import work

from asynctasq import Config, RedisConfig, init

init(
    Config(driver="redis", redis=RedisConfig(url=work.URL))
    if False
    else {"driver": "redis", "redis": {"url": work.URL}}
)
