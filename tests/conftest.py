"""What every test shares.

Property-based tests draw the same examples on every run, so that a red run can be repeated;
``pytest --hypothesis-profile=explore`` draws new ones.
"""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile("repeatable")

BOOK = Path(__file__).parent / "book"


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests in one process, which makes its fixtures once; all of the book's too."""
    for item in items:
        group = BOOK if item.path.is_relative_to(BOOK) else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))
