"""The serializer keeps the contract, signs, and is chosen by the settings."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import pytest

import asynctasq
from asynctasq.errors import ConfigurationError, UndecodableTask
from asynctasq.testing import Rehearsal
from asynctasq.testing.contract.serializer import SerializerContract
from asynctasq_signed import FRAME, SignedSerializer

SECRET = "a secret of this test"


class TestSignedSerializer(SerializerContract):
    frame = FRAME
    # Written down once, with this secret, for the message "1" of the queue "default".
    golden: ClassVar = {
        "a list": ([1, "two"], "53d87c79f7e54154e0d79f51dcbfaa618caa4a84607b2122936fdb8e7118d2b8f2019201a374776f")
    }

    @pytest.fixture
    def serializer(self) -> SignedSerializer:
        return SignedSerializer(secret=SECRET)


def signed(value: object = "hello", *, secret: str = SECRET) -> bytes:
    return SignedSerializer(secret=secret).dumps(value, id="1", queue="default")


@pytest.mark.parametrize(
    ("secret", "id", "queue"),
    [("another secret, as long", "1", "default"), (SECRET, "2", "default"), (SECRET, "1", "other")],
)
def test_a_body_is_read_with_its_secret_as_its_message_and_on_its_queue_alone(secret: str, id: str, queue: str) -> None:
    with pytest.raises(UndecodableTask, match="another secret, message or queue"):
        SignedSerializer(secret=secret).loads(signed(), id=id, queue=queue)


def test_every_changed_byte_is_noticed() -> None:
    body = signed()
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 0x80
        with pytest.raises(UndecodableTask):
            SignedSerializer(secret=SECRET).loads(bytes(changed), id="1", queue="default")


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has 5 characters: use 16 or more"):
        SignedSerializer(secret="short")


ran: list[str] = []


@asynctasq.task(name="signed.note")
async def note(word: str) -> None:
    ran.append(word)


def test_it_is_found_by_its_name_and_given_its_secret_and_carries_tasks() -> None:
    asynctasq.init({"driver": "memory", "serializer": "signed", "serializers": {"signed": {"secret": SECRET}}})
    with Rehearsal() as tasks:

        async def whole() -> list[bytes]:
            await note("carried").dispatch()
            await tasks.driver.connect()
            found = await tasks.driver.find([tasks.dispatched[0].id])
            await tasks.drain()
            return [message.body[:1] for message in found if message is not None]

        assert asyncio.run(whole()) == [bytes([FRAME])]
    assert ran == ["carried"]


def test_without_a_secret_it_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"serializers\.signed\.secret is missing"):
        asynctasq.init({"driver": "memory", "serializer": "signed"})
