"""Adapters of the serializer port."""
