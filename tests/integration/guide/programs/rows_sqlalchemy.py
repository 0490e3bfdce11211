"""Rows of SQLAlchemy as arguments: one line says where sessions come from."""

import os

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

import asynctasq
from asynctasq.tasks import task
from asynctasq.utils.loop import run as uv_run

asynctasq.init({"driver": os.environ["GUIDE_DRIVER"]})


class Base(DeclarativeBase):
    pass


class Member(Base):
    __tablename__ = "guide_members"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str]


class Purchase(Base):
    __tablename__ = "guide_purchases"
    id: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[int]
    total: Mapped[float]


if "GUIDE_NULL_POOL" in os.environ:
    engine = create_async_engine(os.environ["GUIDE_DATABASE"], poolclass=NullPool, pool_pre_ping=True)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
else:
    engine = create_async_engine(os.environ["GUIDE_DATABASE"], pool_pre_ping=True, pool_recycle=3600)
    sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
Base._asynctasq_session_factory = sessions


def say(line: str) -> None:
    print(f"{line}\n", end="", flush=True)  # one write: other threads print too


@task(queue="letters")
async def welcome(member: Member) -> None:
    say(f"welcome {member.name} <{member.email}> {member.id}")


@task(queue="sales")
async def ship(purchase: Purchase, member: Member) -> None:
    say(f"ship {purchase.id} of {purchase.total} to {member.name}")


@task(queue="sales", process=True)
async def bill(purchase: Purchase, member: Member) -> None:
    say(f"bill {purchase.id} to {member.name}")


@task(queue="sales", process=True)
def stamp(purchase: Purchase) -> None:
    say(f"stamp {purchase.id}")


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    async with sessions.begin() as session:
        session.add_all([Member(id=1, email="ada@example.org", name="Ada"), Purchase(id=100, member_id=1, total=9.5)])
    async with sessions() as session:
        member = await session.get(Member, 1)
        print(await welcome(member=member).dispatch())
        purchase = await session.get(Purchase, 100)
        print(await ship(purchase=purchase, member=member).dispatch())
        print(await bill(purchase=purchase, member=member).dispatch())
        print(await stamp(purchase=purchase).dispatch())
        member.name = "Countess Ada"
        await session.commit()
    await engine.dispose()


if __name__ == "__main__":
    uv_run(main())
