"""For those who test with asynctasq, and for those who write an adapter of it.

`Rehearsal` lets your tests see what was dispatched and run it; `asynctasq.testing.plugin` has fixtures of it.
`asynctasq.testing.contract` is the suite that every adapter passes, `asynctasq.testing.faults` a driver that fails on command.

Needs the extra `asynctasq[testing]`. Importing this package turns on pytest's assertion rewriting for the suite, so that a
broken promise shows its values.
"""

from asynctasq.domain.errors import MissingDependency

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingDependency("asynctasq.testing needs pytest: install asynctasq with its extra 'testing'") from error

pytest.register_assert_rewrite("asynctasq.testing.contract")

from asynctasq.testing.dispatched import Dispatched  # noqa: E402 - what is rewritten must be told before it is imported
from asynctasq.testing.rehearsal import Ran, Rehearsal  # noqa: E402

__all__ = ["Dispatched", "Ran", "Rehearsal"]
