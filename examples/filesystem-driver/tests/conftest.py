"""How many sequences of steps Hypothesis makes up: enough to notice a mistake, in seconds. Raise it before a release."""

from hypothesis import settings

settings.register_profile("quick", max_examples=40, stateful_step_count=50, database=None)
settings.load_profile("quick")
