"""A shop on Django: the mail that its users are sent.

export DJANGO_SETTINGS_MODULE=settings
python web.py 8000                              # the web handler; POST /users/ada@example.com/welcome
asynctasq worker shop.tasks --burst             # sends the mail: a file in outbox/
"""

from __future__ import annotations

from pathlib import Path

import asynctasq
from asynctasq.tasks import task
from shop.models import User

asynctasq.init({"driver": "sqlite", "sqlite": {"path": "queue.db"}})


@task(queue="emails")
async def send_welcome(user: User) -> None:
    """In the queue are the model's label and the key; the row is read when this begins."""
    deliver(user.email, f"Welcome, {user.name}!\n")


def deliver(address: str, text: str) -> None:
    outbox = Path("outbox")
    outbox.mkdir(exist_ok=True)
    (outbox / f"{address}.txt").write_text(text)
