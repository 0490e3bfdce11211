"""The composition root: the one place that names concrete adapters, and the one that knows dependency-injector.

Synchronous throughout: constructors do no I/O, and what must be opened and closed is opened and closed by the app. One container
per app; a test overrides a provider on its instance.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

from dependency_injector import containers, providers
from pydantic import SecretStr

from asynctasq.adapters.executors.event_loop import EventLoopExecutor
from asynctasq.adapters.executors.process import ProcessExecutor
from asynctasq.adapters.executors.process_child import Endurance
from asynctasq.adapters.executors.thread import ThreadExecutor
from asynctasq.adapters.serializers.msgpack import MsgpackSerializer
from asynctasq.app import plugins
from asynctasq.app.codec import Codec
from asynctasq.app.connections import Connections
from asynctasq.app.drivers import Drivers
from asynctasq.app.nearest import did_you_mean
from asynctasq.app.resolvers import Known, Resolvers
from asynctasq.app.rows import Rows
from asynctasq.app.seams import Seams
from asynctasq.app.settings import Settings
from asynctasq.app.sync_bridge import SyncBridge
from asynctasq.app.worker import Worker
from asynctasq.domain.errors import ConfigurationError, MissingDependency
from asynctasq.ports.driver import QueueDriver
from asynctasq.ports.resolver import ModelResolver
from asynctasq.ports.serializer import Serializer

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


def _serializer(settings: Settings) -> Serializer:
    name = settings.serializer
    if name == "msgpack":
        return MsgpackSerializer()
    known = ["msgpack", *plugins.names(plugins.SERIALIZERS)]
    if name not in known:
        raise ConfigurationError(
            f"there is no serializer {name!r}: known are {', '.join(known)}{did_you_mean(name, known)}"
        )
    options = settings.serializers.get(name, {})
    made: Serializer = plugins.build(plugins.SERIALIZERS, name, options, path=f"serializers.{name}")
    return made


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _resolvers(settings: Settings) -> Resolvers:
    if settings.resolvers:
        known = plugins.names(plugins.RESOLVERS)
        for name in settings.resolvers.keys() - known:
            raise ConfigurationError(
                f"resolvers.{name}: no package brings such a resolver (known are {', '.join(known) or 'none'})"
                f"{did_you_mean(name, known)}"
            )
    return Resolvers(ORMS, partial(_resolvers_of_others, settings))


def _resolvers_of_others(settings: Settings) -> Mapping[str, Known]:
    names = [name for name in plugins.names(plugins.RESOLVERS) if name not in ORMS]
    return {name: Known(module=name, build=partial(_resolver_of_others, settings, name)) for name in names}


def _resolver_of_others(settings: Settings, name: str) -> ModelResolver:
    options = settings.resolvers.get(name, {})
    made: ModelResolver = plugins.build(plugins.RESOLVERS, name, options, path=f"resolvers.{name}")
    if made.orm != name:  # references would not be found again
        raise ConfigurationError(
            f"the resolver {name!r} writes references of {made.orm!r}: "
            "give both the name of the module that its ORM is imported as"
        )
    return made


def _sqlalchemy() -> ModelResolver:
    from asynctasq.adapters.resolvers.sqlalchemy import SQLAlchemyResolver

    return SQLAlchemyResolver(ThreadExecutor(ROW_THREADS))


def _django() -> ModelResolver:
    from asynctasq.adapters.resolvers.django import DjangoResolver

    return DjangoResolver(ThreadExecutor(ROW_THREADS))


def _tortoise(config: Mapping[str, Any] | None = None) -> ModelResolver:
    try:
        from asynctasq.adapters.resolvers.tortoise import TortoiseResolver
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "tortoise_config needs Tortoise: install asynctasq with its extra 'tortoise'"
        ) from error
    return TortoiseResolver(config)


ORMS: dict[str, Known] = {
    "sqlalchemy": Known(module="sqlalchemy.orm", build=_sqlalchemy),
    "django": Known(module="django.db.models", build=_django),
    "tortoise": Known(module="tortoise.models", build=_tortoise),
}
"""What an app has imported if it uses an ORM, and how its resolver is built then."""


def set_orms_up() -> None:
    """What has to be done before an app that uses an ORM is imported: Django is set up, where DJANGO_SETTINGS_MODULE is set.

    Raises:
        ConfigurationError: it cannot be set up.
    """
    if os.environ.get("DJANGO_SETTINGS_MODULE") and find_spec("django") is not None:
        from asynctasq.adapters.resolvers.django import set_up

        set_up()


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
    serializer = providers.Singleton(_serializer, settings)
    resolvers = providers.Singleton(_resolvers, settings)
    tortoise_resolver = providers.Factory(_tortoise)
    rows = providers.Singleton(Rows, resolvers)
    codec = providers.Singleton(Codec, serializer, rows, max_body=settings.provided.limits.body)
    drivers = providers.Singleton(Drivers, settings, BUILT_IN)
    connections = providers.Singleton(Connections, drivers)
    sync_bridge = providers.Singleton(SyncBridge)

    event_loop_executor = providers.Factory(EventLoopExecutor)
    thread_executor = providers.Factory(ThreadExecutor)
    endurance = providers.Factory(Endurance)
    process_executor = providers.Factory(ProcessExecutor)
    worker = providers.Factory(Worker, codec=codec, rows=rows, seams=seams)
