"""How much of its work Hypothesis does: all of it in CI, enough to notice a mistake elsewhere."""

import os

from hypothesis import settings

settings.register_profile("ci", max_examples=200, stateful_step_count=50, database=None, print_blob=True)
settings.register_profile("laptop", max_examples=25, stateful_step_count=50)
settings.load_profile("ci" if os.environ.get("CI") else "laptop")
