"""The promises of the ports, as tests that any adapter can inherit."""

from asynctasq.testing.contract.base import Contract, refuses, requires

__all__ = ["Contract", "refuses", "requires"]
