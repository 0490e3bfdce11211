"""What every broker is given of a row: its model's name and its key, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tests.integration.fleet import BROKERS, Broker

from asynctasq.app.bootstrap import App
from asynctasq.app.settings import load_settings
from asynctasq.domain.message import Claim
from asynctasq.tasks import task

pytestmark = pytest.mark.asyncio

SECRET = "only in the database "


class Base(DeclarativeBase):
    pass


class Article(Base):
    __tablename__ = "article"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


@task
async def publish(articles: list[Article]) -> None:
    """Never run here: what matters is what it was given."""


@pytest.fixture(params=BROKERS, ids=lambda make: make.__name__)
def broker(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.param(request)
    return made


async def test_a_broker_holds_the_label_and_the_key_of_a_row_and_as_many_bytes_however_much_is_in_it(
    broker: Broker, tmp_path: Path
) -> None:
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    app = App(load_settings(environ=broker.environ(tmp_path)))
    with Session(engine, expire_on_commit=False) as session:
        articles = [Article(id=7, text=""), Article(id=8, text=SECRET * 5_000)]
        session.add_all(articles)
        session.commit()
        for article in articles:
            await app.dispatch(publish([article, article]))
    engine.dispose()
    driver = app.drivers.get().sibling()
    await driver.connect()
    claims: list[Claim] = []
    while len(claims) < 2:
        claims += await driver.claim(["default"], limit=2 - len(claims), lease=30, wait=5, worker="w")
    await driver.close()
    await app.close()
    empty, full = (claim.message.body for claim in claims)
    for body in (empty, full):
        assert body.count(f"{__name__}:Article".encode()) == 2
        assert SECRET.encode() not in body
    assert len(empty) == len(full) < 250
