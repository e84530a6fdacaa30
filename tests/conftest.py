"""Settings of the whole suite."""

import os

from hypothesis import settings

# Machines that run tests are often busy: no example has a deadline. Where CI is set, examples are the same
# in every run, so that a failure is about the change at hand.
settings.register_profile("refquant", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("refquant")
