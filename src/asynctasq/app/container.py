"""The composition root: the one place that names concrete adapters, and the one that knows dependency-injector.

Synchronous throughout: constructors do no I/O, and what must be opened and closed is opened and closed by the app. One container
per app; a test overrides a provider on its instance.
"""

from __future__ import annotations

from collections.abc import Callable

from dependency_injector import containers, providers
from pydantic import SecretStr

from asynctasq.adapters.executors.event_loop import EventLoopExecutor
from asynctasq.adapters.executors.process import ProcessExecutor
from asynctasq.adapters.executors.process_child import Endurance
from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.app.codec import Codec
from asynctasq.app.connections import Connections
from asynctasq.app.drivers import Drivers
from asynctasq.app.resolvers import Known, Resolvers
from asynctasq.app.rows import Rows
from asynctasq.app.seams import Seams
from asynctasq.app.settings import Settings
from asynctasq.app.sync_bridge import SyncBridge
from asynctasq.app.worker import Worker
from asynctasq.ports.driver import QueueDriver
from asynctasq.ports.resolver import ModelResolver

ROW_THREADS = 8
"""How many synchronous fetches of rows wait for a database at the same time: they share nothing with the tasks' threads."""


def _memory(_settings: Settings) -> QueueDriver:
    from asynctasq.adapters.drivers.memory import MemoryDriver

    return MemoryDriver()


def _sqlite(settings: Settings) -> QueueDriver:
    from asynctasq.adapters.drivers.sqlite import SQLiteDriver

    return SQLiteDriver(settings.sqlite.path, synchronous=settings.sqlite.synchronous)


def _redis(settings: Settings) -> QueueDriver:
    from asynctasq.adapters.drivers.redis import RedisDriver

    given = settings.redis
    return RedisDriver(
        _revealed(given.url) or "redis://localhost:6379",
        password=_revealed(given.password),
        db=given.db,
        max_connections=given.max_connections,
        key_prefix=given.key_prefix,
    )


def _postgres(settings: Settings) -> QueueDriver:
    from asynctasq.adapters.drivers.postgres import PostgresDriver

    given = settings.postgres
    return PostgresDriver(
        _revealed(given.dsn) or "postgresql://localhost:5432/postgres",
        max_connections=given.max_connections,
        schema=given.schema_,
        notify=given.notify,
        statement_cache_size=given.statement_cache_size,
    )


def _mysql(settings: Settings) -> QueueDriver:
    from asynctasq.adapters.drivers.mysql import MySQLDriver

    given = settings.mysql
    return MySQLDriver(
        _revealed(given.dsn) or "mysql://localhost:3306/asynctasq",
        max_connections=given.max_connections,
        table_prefix=given.table_prefix,
    )


def _sqs(settings: Settings) -> QueueDriver:
    from asynctasq.adapters.drivers.sqs import SQSDriver

    given = settings.sqs
    return SQSDriver(
        region=given.region,
        endpoint_url=given.endpoint_url,
        queue_prefix=given.queue_prefix,
        create_queues=given.create_queues,
        hop=given.hop,
        shortest_poll=given.shortest_poll,
        max_connections=given.max_connections,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _sqlalchemy() -> ModelResolver:
    from asynctasq.adapters.resolvers.sqlalchemy import SQLAlchemyResolver

    return SQLAlchemyResolver(ThreadExecutor(ROW_THREADS))


ORMS: dict[str, Known] = {
    "sqlalchemy": Known(module="sqlalchemy.orm", build=_sqlalchemy),
}
"""What an app has imported if it uses an ORM, and how its resolver is built then."""

BUILT_IN: dict[str, Callable[[Settings], QueueDriver]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "postgres": _postgres,
    "mysql": _mysql,
    "sqs": _sqs,
}
"""How each of our drivers is built from settings; its client library is imported only then."""


class Container(containers.DeclarativeContainer):
    """What one app is made of."""

    settings = providers.Dependency(instance_of=Settings)

    seams = providers.Singleton(Seams)
    serializer = providers.Singleton(MsgpackSerializer)
    rows = providers.Singleton(Rows, providers.Singleton(Resolvers, ORMS))
    codec = providers.Singleton(Codec, serializer, rows, max_body=settings.provided.limits.body)
    drivers = providers.Singleton(Drivers, settings, BUILT_IN)
    connections = providers.Singleton(Connections, drivers)
    sync_bridge = providers.Singleton(SyncBridge)

    event_loop_executor = providers.Factory(EventLoopExecutor)
    thread_executor = providers.Factory(ThreadExecutor)
    endurance = providers.Factory(Endurance)
    process_executor = providers.Factory(ProcessExecutor)
    worker = providers.Factory(Worker, codec=codec, rows=rows, seams=seams)
