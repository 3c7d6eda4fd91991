"""One walk over the pages of the built book in a browser, and what it saw of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.book import colours

SIZES = {"desktop": (1400, 900), "phone": (390, 844)}
THEMES = ("light", "dark")

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


def walk(site: Site, browser: Browser, size: str) -> list[Visit]:
    """Open every page in windows of one size, in the light theme; all but listings in the dark."""
    width, height = SIZES[size]
    found, light = [], dict[str, list[str]]()
    changes = set[tuple[tuple[str, str], ...]]()  # between what a page shows in the two themes
    for theme in THEMES:
        context = browser.new_context(viewport={"width": width, "height": height})
        context.add_init_script(
            f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
        )
        tab, known = context.new_page(), set[str]()
        for page in site.pages if theme == "light" else site.prose:
            visit = Visit(page, size, theme, {})
            _open(tab, site, visit)
            found.append(visit)
            if page not in site.prose:
                continue
            shape = colours.survey(tab, known)
            changed = _changed(light.setdefault(page, shape), shape)
            # The rules that see no colour find in the dark what they found in the light, unless
            # other elements show there; and what those are is mostly the same on all pages.
            structure = theme == "light" or changed not in changes
            visit.violations = colours.violations(tab, structure)
            changes.add(changed)
        context.close()
    return found


def _changed(light: list[str], dark: list[str]) -> tuple[tuple[str, str], ...]:
    """Return what shows otherwise in the dark theme: a moon for the sun, another logo."""
    if len(light) != len(dark):
        return tuple(itertools.zip_longest(light, dark, fillvalue=""))
    return tuple(pair for pair in zip(light, dark, strict=True) if pair[0] != pair[1])


def _open(tab: Page, site: Site, visit: Visit) -> None:
    """Load a page, let it settle, and note what it shows, says and asks for."""

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
    tab.goto(site.url + visit.page, wait_until="load")
    if tab.locator(".bd-article .math").count():
        tab.wait_for_function("window.MathJax?.startup?.promise")
        tab.evaluate("window.MathJax.startup.promise")
    visit.look = tab.evaluate(LOOK)
    for event, listen in messages.items():
        tab.remove_listener(event, listen)
