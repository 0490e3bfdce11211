"""The promises of the ports, as tests that any adapter can inherit."""

from asynctasq.domain.errors import MissingDependency

try:
    from asynctasq.testing.contract.base import Contract, refuses, requires
except ModuleNotFoundError as error:
    raise MissingDependency(
        f"the contract suite needs the package {error.name}: install asynctasq with its extra 'testing'"
    ) from error

__all__ = ["Contract", "refuses", "requires"]
