"""For those who test with asynctasq, and for those who write an adapter of it.

`Rehearsal` lets your tests see what was dispatched and run it, in whatever runner they have; `asynctasq.testing.plugin` has
pytest's fixtures of it. `asynctasq.testing.contract` is the suite that every adapter passes, `asynctasq.testing.faults` a
driver that fails on command.

The suite and the fixtures need the extra `asynctasq[testing]`. Where pytest is, importing this package turns on its
assertion rewriting for the suite, so that a broken promise shows its values.
"""

try:
    import pytest
except ModuleNotFoundError:
    pass  # unittest's users rehearse without it
else:
    pytest.register_assert_rewrite("asynctasq.testing.contract")

from asynctasq.testing.dispatched import Dispatched
from asynctasq.testing.rehearsal import Ran, Rehearsal

__all__ = ["Dispatched", "Ran", "Rehearsal"]
