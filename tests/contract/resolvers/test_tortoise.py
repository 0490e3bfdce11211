from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from tests.contract.resolvers.tortoise_world import TortoiseWorld, config, models
from tortoise import Tortoise

from asynctasq.adapters.resolvers.tortoise import TortoiseResolver
from asynctasq.domain.errors import ConfigurationError
from asynctasq.domain.message import ModelRef
from asynctasq.testing.contract.resolver import ResolverContract, travelled


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path_factory.mktemp('rows') / 'rows.db'}"
    return str(request.getfixturevalue(f"{request.param}_url")).replace("postgresql:", "asyncpg:")


class TestTortoiseResolver(ResolverContract):
    @pytest_asyncio.fixture
    async def world(self, url: str) -> AsyncGenerator[TortoiseWorld]:
        world = TortoiseWorld(url)
        await world.open()
        yield world
        await world.resolver.close()
        # aiomysql forgets a connection whose making was cancelled: it is collected here, and not in another test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del world
            gc.collect()


# What only Tortoise has


@pytest.mark.asyncio
async def test_without_being_initialised_the_line_to_add_is_shown() -> None:
    resolver = TortoiseResolver()
    with pytest.raises(
        ConfigurationError, match=r"(?s)not initialised in this worker.*asynctasq.init\(.*tortoise_config="
    ):
        await resolver.resolve([ModelRef(orm="tortoise", label="world.Note", pk=1)])


@pytest.mark.asyncio
async def test_a_configuration_that_does_not_work_is_told_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="correct tortoise_config, with which Tortoise cannot be initialised "):
        await TortoiseResolver({"db_url": "nothing://", "modules": {}}).open()


@pytest.mark.asyncio
async def test_what_the_app_has_initialised_is_left_to_it(tmp_path: Path) -> None:
    app = TortoiseResolver(config(f"sqlite://{tmp_path / 'rows.db'}"))  # initialises Tortoise as an app does
    await app.open()
    await Tortoise.generate_schemas()
    row = await models.Note.create(text="of the app")
    resolver = TortoiseResolver(config("sqlite://:memory:"))
    await resolver.open()
    ref = resolver.reference(row)
    await resolver.close()
    assert None not in await resolver.resolve([ref])
    await app.close()


@pytest.mark.asyncio
async def test_keyword_arguments_are_a_configuration_too_and_a_hidden_row_is_found(tmp_path: Path) -> None:
    resolver = TortoiseResolver({"db_url": f"sqlite://{tmp_path / 'rows.db'}", "modules": {"world": [models.__name__]}})
    await resolver.open()
    await Tortoise.generate_schemas()
    secret = await models.Secret.create()
    assert None not in await resolver.resolve([resolver.reference(secret)])
    await resolver.close()


@pytest_asyncio.fixture
async def resolver(tmp_path: Path) -> AsyncGenerator[TortoiseResolver]:
    resolver = TortoiseResolver(config(f"sqlite://{tmp_path / 'rows.db'}"))
    await resolver.open()
    await Tortoise.generate_schemas()
    yield resolver
    await resolver.close()  # also after a failure: a connection that is left open keeps the interpreter from ending


@pytest.mark.asyncio
async def test_a_key_that_is_another_rows_a_time_or_of_an_enumeration_comes_back(resolver: TortoiseResolver) -> None:
    rows = [
        await models.Badge.create(ticket=await models.Ticket.create(text="")),
        await models.Moment.create(at=datetime.now(UTC)),
        await models.Paint.create(colour=models.Colour.RED),
    ]
    rows += [await type(row).get() for row in rows]  # as they are when they were read, which is of other types
    refs = [travelled(resolver.reference(row)) for row in rows]
    assert [(type(row), row.pk) for row in await resolver.resolve(refs)] == [(type(row), row.pk) for row in rows]
