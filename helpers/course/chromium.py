"""A headless Chromium from this machine, driven by Playwright; none is downloaded."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from helpers.errors import CourseError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str:
    """Return the path of a Chromium or Chrome.

    Raises
    ------
    CourseError
        If this machine has none.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise CourseError(
            f"This needs Chromium, and none of {', '.join(_NAMES)} is on the path. "
            "Install it:  sudo apt-get install chromium"
        )
    return found


@contextlib.contextmanager
def opened() -> Iterator[Browser]:
    """Run a headless browser while the context lasts.

    Playwright holds the process's event loop meanwhile, so nothing else may run one.

    Raises
    ------
    CourseError
        If this machine has no Chromium, or it does not start.
    """
    path = executable()
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        except Error as error:
            reason = error.message.strip().splitlines()[0]
            raise CourseError(f"{path} does not start: {reason}") from error
        try:
            yield browser
        finally:
            browser.close()
