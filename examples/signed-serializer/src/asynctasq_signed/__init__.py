"""Signed messages: a worker runs only what somebody who knows the secret has dispatched."""

from __future__ import annotations

import hashlib
import hmac

from asynctasq.errors import ConfigurationError, UndecodableTask, UnknownFrame
from asynctasq.ports import ModelRef, Serializer
from asynctasq.serializers import MsgpackSerializer

FRAME = 0x53
"""The kind of this package's frames; those below 0x20 are asynctasq's own."""

SIGNATURE = hashlib.sha256().digest_size
LEAST = 16
"""Characters of a secret that is worth the name."""


class SignedSerializer(Serializer):
    """What asynctasq's own serializer makes, behind a signature of it, of the message's id and of its queue.

    A body that was changed, made up, or moved to another message or queue is not decoded. It can still be read by anybody, and
    be sent again as the message that it is.

    Args:
        secret: what producers and workers share; at least 16 characters.

    Raises:
        ConfigurationError: it is shorter.
    """

    def __init__(self, *, secret: str) -> None:
        if len(secret) < LEAST:
            raise ConfigurationError(f"serializers.signed.secret has {len(secret)} characters: use {LEAST} or more")
        self._secret = secret.encode()
        self._plain = MsgpackSerializer()

    def dumps(self, value: object, *, id: str, queue: str) -> bytes:
        """Encode a value; see the port."""
        body = self._plain.dumps(value, id=id, queue=queue)
        return bytes([FRAME]) + self._sign(body, id, queue) + body

    def loads(self, body: bytes, *, id: str, queue: str, refs: list[ModelRef] | None = None) -> object:
        """Decode a body; see the port."""
        if body[:1] != bytes([FRAME]):
            if body and 0x02 <= body[0] < 0x20:
                raise UnknownFrame(f"frame {body[0]:#04x} is of a later asynctasq: upgrade this worker")
            raise UndecodableTask("the body is not signed: dispatch with serializer = 'signed', as this worker reads")
        signature, signed = body[1 : 1 + SIGNATURE], body[1 + SIGNATURE :]
        if not hmac.compare_digest(signature, self._sign(signed, id, queue)):
            raise UndecodableTask("the signature is of another secret, message or queue, or the body was changed")
        return self._plain.loads(signed, id=id, queue=queue, refs=refs)

    def _sign(self, body: bytes, id: str, queue: str) -> bytes:
        # Lengths first, so that no two messages are signed as the same bytes.
        where = f"{len(id)},{len(queue)},{id},{queue},".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, where + body, "sha256")
