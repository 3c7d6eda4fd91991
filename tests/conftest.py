"""Property-based tests draw the same examples on every run, so that a red run can be repeated.

``pytest --hypothesis-profile=explore`` draws new ones.
"""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("repeatable")
