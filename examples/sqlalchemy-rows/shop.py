"""A shop on SQLAlchemy: its users, and the mail they are sent.

python web.py 8000                              # the web handler; POST /users/ada@example.com/welcome
asynctasq worker shop --burst                   # sends the mail: a file in outbox/
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import asynctasq
from asynctasq.tasks import task

asynctasq.init({"driver": "sqlite", "sqlite": {"path": "queue.db"}})


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]


engine = create_async_engine("sqlite+aiosqlite:///shop.db")
sessions = async_sessionmaker(engine, expire_on_commit=False)
Base._asynctasq_session_factory = sessions  # this line is all the configuration there is


@task(queue="emails")
async def send_welcome(user: User) -> None:
    """In the queue are the model's name and the key; the row is read when this begins."""
    deliver(user.email, f"Welcome, {user.name}!\n")


def deliver(address: str, text: str) -> None:
    outbox = Path("outbox")
    outbox.mkdir(exist_ok=True)
    (outbox / f"{address}.txt").write_text(text)
