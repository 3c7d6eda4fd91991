"""The book, built and served once; a headless Chromium; one walk over all pages for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page

from helpers.course import book, chromium
from tests.book import contrast

ROOT = Path(__file__).parents[2]
SIZES = {"desktop": (1400, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
CONTRAST = "color-contrast"

# What a page gets wrong by itself, collected in the page.
LOOK = """() => {
  const article = document.querySelector('.bd-article, .bd-search-container');
  const images = [...document.images].filter(i => i.loading !== 'lazy');
  return {
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    broken: images.filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src),
    headings: [...article.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1]),
    maths: article.querySelectorAll('.math').length,
    drawn: article.querySelectorAll('.math mjx-container').length,
    theme: document.documentElement.dataset.theme,
  };
}"""


@dataclass(frozen=True)
class Site:
    """The built book: its folder, its address, its pages relative to both."""

    html: Path
    url: str
    pages: list[str]

    @property
    def prose(self) -> list[str]:
        """All pages but the listings of source code, and the longest of those for all of them."""
        listings = [page for page in self.pages if page.startswith("_modules/")]
        longest = max(listings, key=lambda page: (self.html / page).stat().st_size)
        return [page for page in self.pages if page not in listings or page == longest]


@dataclass
class Visit:
    """What one page showed in one window size and theme."""

    page: str
    size: str
    theme: str
    look: dict[str, Any]
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.page} ({self.size}, {self.theme})"


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The book, brought up to date and served on the loopback interface.

    As it is published, but for the labs: they are those that the tests of the labs run too, in the
    fast profile. It lies beside the reader's own book, and shares its executed chapters.
    """
    build = ROOT / "build"
    html = book.build(
        ROOT, build / "book-tested", "fast", progress=False, shared=build / "labs"
    ).parent
    pages = [str(path.relative_to(html)) for path in sorted(html.rglob("*.html"))]
    pages = [page for page in pages if not page.startswith(("_static/", "_sources/"))]
    with book.serving(html) as url:
        yield Site(html, url, pages)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium from this machine; Playwright downloads none.

    Not for the whole session: while Playwright runs, no book can be built, since both need the
    process's one event loop.
    """
    with chromium.opened() as browser:
        yield browser


@pytest.fixture(scope="module")
def visits(site: Site, browser: Browser) -> list[Visit]:
    """Every page, in both window sizes and both themes."""
    found = []
    measured: dict[str, set[str]] = {theme: set() for theme in THEMES}
    for size, (width, height) in SIZES.items():
        for theme in THEMES:
            context = browser.new_context(viewport={"width": width, "height": height})
            context.add_init_script(
                f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
            )
            tab = context.new_page()
            pages = site.pages if theme == "light" else site.prose
            found += [_visit(tab, site, page, size, theme, measured[theme]) for page in pages]
            context.close()
    return found


def _visit(tab: Page, site: Site, page: str, size: str, theme: str, measured: set[str]) -> Visit:
    visit = Visit(page, size, theme, {})

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            visit.console.append(message.text)

    messages: dict[str, Callable[[Any], None]] = {
        "console": hear,
        "pageerror": lambda error: visit.console.append(str(error)),
        "request": lambda request: visit.requests.append(request.url),
    }
    for event, listen in messages.items():
        tab.on(event, listen)  # type: ignore[call-overload]
    tab.goto(site.url + page, wait_until="load")
    if tab.locator(".bd-article .math").count():
        tab.wait_for_function("window.MathJax?.startup?.promise")
        tab.evaluate("window.MathJax.startup.promise")
    visit.look = tab.evaluate(LOOK)
    for event, listen in messages.items():  # before axe, which fetches style sheets by itself
        tab.remove_listener(event, listen)
    if page in site.prose:
        visit.violations = _violations(tab, measured)
    return visit


def _violations(tab: Page, measured: set[str]) -> list[str]:
    """Every rule of axe, that of contrast for texts unlike those measured before in this theme."""
    options = {"preload": False, "resultTypes": ["violations"]}
    rest = options | {"rules": {CONTRAST: {"enabled": False}}}
    found = Axe().run(tab, options=rest).response["violations"]
    if contrast.mark(tab, measured):
        context = {"include": [["[data-fresh]"]]}
        only = options | {"runOnly": {"type": "rule", "values": [CONTRAST]}}
        found += Axe().run(tab, context=context, options=only).response["violations"]
    return [f"{v['id']}: {n['html'][:200]}" for v in found for n in v["nodes"]]
