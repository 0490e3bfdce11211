"""For those who test against asynctasq: the contract suite, and a driver that fails on command.

Needs the extra `asynctasq[testing]`. Importing this package turns on pytest's assertion rewriting for the suite, so that a
broken promise shows its values.
"""

from asynctasq.domain.errors import MissingDependency

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingDependency("asynctasq.testing needs pytest: install asynctasq with its extra 'testing'") from error

pytest.register_assert_rewrite("asynctasq.testing.contract")
