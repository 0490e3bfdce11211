"""A shop on Tortoise: its users, and the mail they are sent.

python web.py 8000                              # the web handler; POST /users/ada@example.com/welcome
asynctasq worker shop --burst                   # sends the mail: a file in outbox/
"""

from __future__ import annotations

from pathlib import Path

from tortoise import fields
from tortoise.models import Model

import asynctasq
from asynctasq.tasks import task

DATABASE = {"db_url": "sqlite://shop.db", "modules": {"models": ["shop"]}}

# Workers initialise Tortoise with it before they begin; the web handler does so by itself.
asynctasq.init({"driver": "sqlite", "sqlite": {"path": "queue.db"}}, tortoise_config=DATABASE)


class User(Model):
    id = fields.IntField(primary_key=True)
    email = fields.CharField(max_length=255, unique=True)
    name = fields.CharField(max_length=100)


@task(queue="emails")
async def send_welcome(user: User) -> None:
    """In the queue are the model's name and the key; the row is read when this begins."""
    deliver(user.email, f"Welcome, {user.name}!\n")


def deliver(address: str, text: str) -> None:
    outbox = Path("outbox")
    outbox.mkdir(exist_ok=True)
    (outbox / f"{address}.txt").write_text(text)
