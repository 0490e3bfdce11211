"""The settings: their names, defaults and limits, as one frozen value; and loading them from where they may be given.

A setting is known by its path, `worker.lease`: nested in `init({"worker": {"lease": 10}})` and in `[tool.asynctasq.worker]`,
flat in the environment, `ASYNCTASQ_WORKER_LEASE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from asynctasq.app import setting_sources
from asynctasq.app.setting_sources import Given
from asynctasq.app.setting_values import (
    MaxAttempts,
    Names,
    QueueName,
    QueueNames,
    Seconds,
    Timeout,
    Whole,
    a_driver,
    a_file,
    lower,
    no_bool,
)
from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.task import OnMissing


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SqliteSettings(_Group):
    """The SQLite driver.

    Attributes:
        path: the queue's file; None for `.asynctasq/queue.db` in the project. A relative path counts from the working directory,
            in a pyproject.toml from there; it is absolute here.
        synchronous: "full" survives a power cut; "normal" may lose the last moments in one, and is faster.
    """

    path: Annotated[Path, AfterValidator(a_file)] | None = None
    synchronous: Annotated[Literal["full", "normal"], BeforeValidator(lower)] = "full"


class RedisSettings(_Group):
    """The Redis driver.

    Attributes:
        url: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://; None for redis://localhost:6379.
        password: if not in the URL.
        db: the database's number, if not in the URL.
        max_connections: how many connections a process may open; further requests wait for one.
        key_prefix: what the names of all keys begin with.
    """

    url: SecretStr | None = None
    password: SecretStr | None = None
    db: Annotated[Whole, Field(ge=0)] | None = None
    max_connections: Annotated[Whole, Field(ge=1)] = 100
    key_prefix: Annotated[str, Field(pattern="^[^{}]+$")] = "asynctasq"


class PostgresSettings(_Group):
    """The PostgreSQL driver.

    Attributes:
        dsn: postgresql://user:password@host:port/database; None for postgresql://localhost:5432/postgres.
        max_connections: how many connections a process may open, besides the one that listens; further requests wait for one.
        schema_: `postgres.schema`: what holds the tables.
        notify: whether hints are given and listened to; off behind a PgBouncer that pools transactions.
        statement_cache_size: prepared statements per connection; None for all, and without `notify` for none.
    """

    dsn: SecretStr | None = None
    max_connections: Annotated[Whole, Field(ge=1)] = 10
    # pydantic's own models have an attribute of that name.
    schema_: Annotated[str, Field(alias="schema", pattern="^[A-Za-z_][A-Za-z0-9_-]{0,62}$")] = "asynctasq"
    notify: bool = True
    statement_cache_size: Annotated[Whole, Field(ge=0)] | None = None


class MysqlSettings(_Group):
    """The MySQL driver.

    Attributes:
        dsn: mysql://user:password@host:port/database?ssl-mode=...; None for mysql://localhost:3306/asynctasq.
        max_connections: how many connections a process may open; further requests wait for one.
        table_prefix: what the names of the tables begin with.
    """

    dsn: SecretStr | None = None
    max_connections: Annotated[Whole, Field(ge=1)] = 10
    table_prefix: Annotated[str, Field(pattern="^[A-Za-z0-9_]{0,40}$")] = "asynctasq_"


class SqsSettings(_Group):
    """The SQS driver. Its credentials come from where every client of AWS finds them.

    Attributes:
        region: such as "eu-central-1"; None for what the environment or the profile says.
        endpoint_url: where an emulator is; None for AWS.
        queue_prefix: what the names of all queues in SQS begin with.
        create_queues: whether a queue that is missing is created; else it is refused.
        hop: seconds for which SQS is asked to hold a message back; longer delays are made of several.
        shortest_poll: seconds that the last look at empty queues waits at least; 0 for emulators.
        max_connections: how many connections a process may open; further requests wait for one.
    """

    region: Annotated[str, Field(pattern="^[a-z0-9-]+$")] | None = None
    endpoint_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = None
    queue_prefix: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{0,40}$")] = "asynctasq-"
    create_queues: bool = True
    hop: Annotated[Whole, Field(ge=1, le=900)] = 900
    shortest_poll: Annotated[Whole, Field(ge=0, le=20)] = 1
    max_connections: Annotated[Whole, Field(ge=1)] = 50


class DefaultSettings(_Group):
    """What a task's missing options follow.

    Attributes:
        queue: the queue's name.
        max_attempts: executions in all, the first included.
        retry_delay: seconds before a retry.
        timeout: seconds that one attempt may take; None for no limit.
        on_missing: when an ORM row among the arguments is gone: "dead" for a dead letter, "discard" to drop the task, "none" to
            run it with None in the row's place.
    """

    queue: QueueName = "default"
    max_attempts: MaxAttempts = 3
    retry_delay: Seconds = 60.0
    timeout: Timeout | None = None
    on_missing: Annotated[OnMissing, BeforeValidator(lower)] = "dead"


class WorkerSettings(_Group):
    """A worker.

    Attributes:
        queues: the queues it serves, the most urgent first; None for `default` and those of its registered tasks.
        concurrency: tasks that run at the same time in one process, of all kinds.
        threads: how many of them may be plain functions.
        children: how many of them may run in child processes; None for as many as there are cores.
        max_tasks_per_child: attempts after which a child process is replaced by a fresh one; None for never.
        max_memory_per_child: megabytes beyond which it is, between two attempts; None for never.
        processes: worker processes.
        max_tasks: after how many tasks a worker process stops in good order; None for no limit.
        lease: seconds that a claimed task stays hidden from other workers; a living worker renews it. At most twelve hours,
            which is what every broker can do.
        shutdown_grace: seconds that running tasks have after the first SIGTERM.
    """

    queues: QueueNames | None = None
    concurrency: Annotated[Whole, Field(ge=1)] = 100
    threads: Annotated[Whole, Field(ge=1)] = 32
    children: Annotated[Whole, Field(ge=1)] | None = None
    max_tasks_per_child: Annotated[Whole, Field(ge=1)] | None = None
    max_memory_per_child: Annotated[Whole, Field(ge=1)] | None = None
    processes: Annotated[Whole, Field(ge=1)] = 1
    max_tasks: Annotated[Whole, Field(ge=1)] | None = None
    lease: Annotated[float, BeforeValidator(no_bool), Field(ge=1, le=43_200)] = 30.0
    shutdown_grace: Seconds = 30.0


class LimitSettings(_Group):
    """Limits.

    Attributes:
        body: the most bytes of one encoded call; the driver's own limit counts where it is smaller.
    """

    body: Annotated[Whole, Field(ge=1)] = 262_144


class LogSettings(_Group):
    """What the command line logs. Code that uses asynctasq as a library configures its own logging.

    Attributes:
        level: the least level that is shown.
        format: "text", "json", or "auto" for text on a terminal and JSON elsewhere.
    """

    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(lower)] = "info"
    format: Annotated[Literal["auto", "text", "json"], BeforeValidator(lower)] = "auto"


class Settings(_Group):
    """Every setting.

    Attributes:
        driver: a driver's name, `module:attribute` of an instance, or an instance. A URL is taken apart when it is loaded.
        app: the module, `module:attribute` or file that a worker imports when it is told no other.
        imports: further modules that a worker imports.
        serializer: "msgpack", or the name of one that another package brings.
        drivers: the options of drivers that other packages bring, by the driver's name.
        serializers: likewise of serializers.
        resolvers: likewise of resolvers, which nobody has to name: they are used where their ORM is imported.
    """

    driver: Annotated[object, AfterValidator(a_driver)] = "sqlite"
    app: str | None = None
    imports: Names = ()
    serializer: Annotated[str, Field(min_length=1)] = "msgpack"
    sqlite: SqliteSettings = SqliteSettings()
    redis: RedisSettings = RedisSettings()
    postgres: PostgresSettings = PostgresSettings()
    mysql: MysqlSettings = MysqlSettings()
    sqs: SqsSettings = SqsSettings()
    defaults: DefaultSettings = DefaultSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    drivers: Mapping[str, Mapping[str, object]] = {}
    serializers: Mapping[str, Mapping[str, object]] = {}
    resolvers: Mapping[str, Mapping[str, object]] = {}

    def at(self, url: str) -> Settings:
        """These settings with the driver and the place that `url` names.

        Raises:
            ConfigurationError: the URL names no driver or place.
        """
        given = {path: Given(value, "default") for path, value in self.flat().items()}
        given |= setting_sources.read({"driver": url}, f"URL {url.partition('://')[0]}://", PATHS)
        return _settings(given)

    def flat(self) -> dict[str, object]:
        """Every value by its path, such as `worker.lease`. Secrets stay `SecretStr`, which prints as stars."""
        values: dict[str, object] = {}
        for name in Settings.model_fields:
            value = getattr(self, name)
            if isinstance(value, _Group):
                values |= {
                    f"{name}.{field.alias or inner}": getattr(value, inner)
                    for inner, field in type(value).model_fields.items()
                }
            elif name in setting_sources.OF_OTHERS:
                parts = cast("Mapping[str, Mapping[str, object]]", value)
                values |= {
                    f"{name}.{part}.{option}": given
                    for part, options in parts.items()
                    for option, given in options.items()
                }
            else:
                values[name] = value
        return values


PATHS = tuple(Settings().flat())
"""The path of every setting."""

SECRETS = frozenset({"redis.url", "redis.password", "postgres.dsn", "mysql.dsn"})
"""The paths of those that are never shown."""


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force, and where each came from.

    Attributes:
        settings: the settings.
        sources: for every path, such as `worker.lease`, where its value was given, for people; "default" where nowhere.
    """

    settings: Settings
    sources: Mapping[str, str]


def load_settings(
    init: Mapping[str, object] | str | None = None,
    *,
    cli: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> LoadedSettings:
    """Settings from every place they may be given in.

    For each setting by itself: `cli` wins over `init`, then the environment, then `.env` in the working directory, then
    `[tool.asynctasq]` of the nearest pyproject.toml, then the default. An empty environment variable counts as not
    given. A variable `ASYNCTASQ_...` that is no setting is logged as a warning, once.

    Args:
        init: settings as a nested mapping, or a driver's name or URL.
        cli: settings given on a command line, as a nested mapping; None in it counts as not given.
        environ: the environment; by default this process's.
        cwd: the working directory; by default this process's.

    Raises:
        ConfigurationError: keys that are no setting and values that cannot work, one line for each.
    """
    given: dict[str, Given] = {}
    for layer in setting_sources.layers(init, cli, environ, cwd or Path.cwd(), PATHS):
        given |= layer
    sources = dict.fromkeys(PATHS, "default") | {path: value.source for path, value in given.items()}
    return LoadedSettings(_settings(given), sources)


def _settings(given: Mapping[str, Given]) -> Settings:
    nested: dict[str, object] = {}
    for path, (value, _) in given.items():
        *groups, name = path.split(".")
        inner = nested
        for group in groups:
            inner = cast("dict[str, object]", inner.setdefault(group, {}))
        inner[name] = value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_problems(error, given))) from error


def _problems(error: ValidationError, given: Mapping[str, Given]) -> Iterator[str]:
    for problem in error.errors():
        path = next(path for path in (".".join(map(str, problem["loc"][:n])) for n in (2, 1)) if path in given)
        value, source = given[path]
        shown = "**********" if path in SECRETS else repr(value)
        ours = problem.get("ctx", {}).get("error")
        advice = problem["msg"].replace("Input should", "it should", 1) if ours is None else str(ours)
        # The domain's checks name the thing and the value themselves, as this line has already done.
        advice = re.sub(rf"^{path.rpartition('.')[2]}=\S+: ", "", advice)
        yield f"{path}={shown} ({source}): {advice}"
