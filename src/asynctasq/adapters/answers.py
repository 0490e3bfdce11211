"""What a driver answers to a batch of which the broker has said which messages, or receipts, are meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from asynctasq.domain.errors import DispatchError
from asynctasq.domain.message import Message
from asynctasq.domain.verdict import Settlement
from asynctasq.ports.driver import Enqueued, EnqueueStatus, Settled, SettleStatus
from asynctasq.ports.refusals import refusal_of_follow_ups

K = TypeVar("K")

_DONE, _LOST = Settled(SettleStatus.DONE), Settled(SettleStatus.LOST)


def of_enqueue(
    messages: Sequence[Message], refusals: Sequence[DispatchError | None], new: set[tuple[str, str]]
) -> list[Enqueued]:
    """Per message whether it was stored; of those of one queue and id the first was, if any.

    Args:
        messages: the batch.
        refusals: per message why it was not sent at all.
        new: the queue and id of what the broker has stored. It is used up.
    """
    answers: list[Enqueued] = []
    for message, refusal in zip(messages, refusals, strict=True):
        if refusal is not None:
            answers.append(Enqueued(EnqueueStatus.FAILED, message.id, refusal))
        elif (message.queue, message.id) in new:
            new.discard((message.queue, message.id))
            answers.append(Enqueued(EnqueueStatus.CREATED, message.id))
        else:
            answers.append(Enqueued(EnqueueStatus.DUPLICATE, message.id))
    return answers


def to_settle(keys: Sequence[K], settlements: Sequence[Settlement]) -> dict[K, Settlement]:
    """What is to be carried out: the first settlement of each receipt, but none with follow-ups.

    Args:
        keys: what the receipt of each settlement stands for.
        settlements: the batch.
    """
    first: dict[K, Settlement] = {}
    for key, settlement in zip(keys, settlements, strict=True):
        if not settlement.then:
            first.setdefault(key, settlement)
    return first


def of_settle(keys: Sequence[K], settlements: Sequence[Settlement], done: set[K], driver: str) -> list[Settled]:
    """Per settlement whether it was carried out, which the first of each receipt was, if any.

    Args:
        keys: what the receipt of each settlement stands for.
        settlements: the batch.
        done: those whose receipt was valid. It is used up.
        driver: what people call it.
    """
    answers: list[Settled] = []
    for key, settlement in zip(keys, settlements, strict=True):
        if settlement.then:
            answers.append(Settled(SettleStatus.FAILED, refusal_of_follow_ups(driver)))
        elif key in done:
            done.discard(key)
            answers.append(_DONE)
        else:
            answers.append(_LOST)
    return answers


def each_once(ids: Sequence[str], found: set[str]) -> list[bool]:
    """Whether there was one of each id; one that is asked for twice was there once.

    Args:
        ids: what was asked for.
        found: of these. It is used up.
    """
    answers: list[bool] = []
    for id in ids:
        answers.append(id in found)
        found.discard(id)
    return answers
