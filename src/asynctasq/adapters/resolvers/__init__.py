"""Adapters of the resolver port."""
