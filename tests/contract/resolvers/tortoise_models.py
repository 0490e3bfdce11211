from __future__ import annotations

from enum import Enum

from tortoise import fields
from tortoise.manager import Manager
from tortoise.models import Model


class Text(Model):
    text = fields.TextField()

    class Meta:
        abstract = True


class Note(Text):
    id = fields.IntField(primary_key=True)


class Ticket(Text):
    number = fields.UUIDField(primary_key=True)


class Reply(Note):
    ticket = fields.ForeignKeyField("world.Ticket", related_name="replies")


class Country(Text):
    code = fields.CharField(primary_key=True, max_length=60)


class Day(Text):
    day = fields.DateField(primary_key=True)


class Visible(Manager):
    def get_queryset(self):
        return super().get_queryset().filter(hidden=False)


class Secret(Model):
    """A model whose manager hides rows."""

    id = fields.IntField(primary_key=True)
    hidden = fields.BooleanField(default=True)

    class Meta:
        manager = Visible()


class Badge(Model):
    """A model whose key is another's."""

    ticket = fields.OneToOneField("world.Ticket", primary_key=True)


class Moment(Model):
    at = fields.DatetimeField(primary_key=True)


class Colour(Enum):
    RED = "red"


class Paint(Model):
    colour = fields.CharEnumField(Colour, primary_key=True)
