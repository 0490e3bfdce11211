"""The serializer that asynctasq uses by itself, for those who put something around it."""

from asynctasq.adapters.serializers.msgpack import MsgpackSerializer

__all__ = ["MsgpackSerializer"]
