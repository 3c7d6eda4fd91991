"""The book, built and served once; a headless Chromium; one walk over all pages for the tests."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from helpers._files import take_lock
from helpers.course import book, chromium
from tests.book.walk import SIZES, Site, Visit, walk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(testrun_uid: str) -> Iterator[Site]:
    """The book, brought up to date once in a run of the tests, served on the loopback interface.

    As it is published, but for the labs: they are those that the tests of the labs run too, in the
    fast profile. It lies beside the reader's own book, and shares its executed chapters.
    """
    build = ROOT / "build"
    layout = book.Layout(build / "book-tested")
    layout.out.mkdir(parents=True, exist_ok=True)
    finished = layout.out / "up-to-date"  # holds the run that brought it there
    with _alone(layout.out / ".lock"):
        if not finished.exists() or finished.read_text() != testrun_uid:
            book.build(ROOT, layout.out, "fast", progress=False, shared=build / "labs")
            finished.write_text(testrun_uid)
    pages = [str(path.relative_to(layout.html)) for path in sorted(layout.html.rglob("*.html"))]
    pages = [page for page in pages if not page.startswith(("_static/", "_sources/"))]
    with book.serving(layout.html) as url:
        yield Site(layout.html, url, pages)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process of the tests is here."""
    while (lock := take_lock(path)) is None:
        time.sleep(0.2)
    try:
        yield
    finally:
        os.close(lock)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium from this machine; Playwright downloads none.

    Not for the whole session: while Playwright runs, no book can be built, since both need the
    process's one event loop.
    """
    with chromium.opened() as browser:
        yield browser


@pytest.fixture(scope="module", params=SIZES)
def visits(site: Site, browser: Browser, request: pytest.FixtureRequest) -> list[Visit]:
    """Half of the pages, opened in windows of one size, seen in both sizes and themes."""
    half = site.pages[list(SIZES).index(request.param) :: len(SIZES)]
    return walk(site, browser, half, request.param)
