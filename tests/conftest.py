"""What every test shares.

Property-based tests draw the same examples on every run, so that a red run can be repeated;
``pytest --hypothesis-profile=explore`` draws new ones.
"""

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("repeatable")


class ByFile(LoadScopeScheduling):
    """A file's tests in one process, which makes its fixtures once; all of the book's in one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "tests/book" if file.startswith("tests/book/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Deal out the tests when they run beside one another (``pytest -n auto``)."""
    return ByFile(config, log)
