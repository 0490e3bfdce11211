"""Adapters of the driver port."""
