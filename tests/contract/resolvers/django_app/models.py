from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from django.db import models


class Note(models.Model):
    text = models.TextField()


class Ticket(models.Model):
    number = models.UUIDField(primary_key=True, default=uuid4)
    text = models.TextField()


class Reply(Note):
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE)


class Country(models.Model):
    code = models.CharField(primary_key=True, max_length=60)
    text = models.TextField()


class Day(models.Model):
    day = models.DateField(primary_key=True)
    text = models.TextField()


class Seat(models.Model):
    pk = models.CompositePrimaryKey("row", "letter")
    row = models.IntegerField()
    letter = models.CharField(max_length=60)
    text = models.TextField()


class Visible(models.Manager["Secret"]):
    def get_queryset(self) -> models.QuerySet[Secret]:
        return super().get_queryset().filter(hidden=False)


class Secret(models.Model):
    """A model whose default manager hides rows."""

    hidden = models.BooleanField(default=True)
    objects: ClassVar[models.Manager[Secret]] = Visible()


class Badge(models.Model):
    """A model whose key is another's."""

    ticket = models.OneToOneField(Ticket, on_delete=models.CASCADE, primary_key=True)


class Alias(Note):
    """A proxy."""

    class Meta:
        proxy = True


class Paint(models.Model):
    class Colour(models.TextChoices):
        RED = "red"

    colour = models.CharField(primary_key=True, max_length=10, choices=Colour.choices)


class Moment(models.Model):
    at = models.DateTimeField(primary_key=True)
