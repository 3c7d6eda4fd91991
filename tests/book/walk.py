"""One walk over the pages of the built book in a browser, and what it saw of each."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
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

# Click the theme's button until the page is in a theme.
SWITCH = """theme => {
  const root = document.documentElement;
  const button = document.querySelector('button.theme-switch-button');
  for (let i = 0; i < 3 && root.dataset.mode !== theme; i++) button.click();
}"""

# Let no colour be on its way.
SETTLE = """() => {
  getComputedStyle(document.body).color;
  document.getAnimations().forEach(a => a instanceof CSSTransition && a.finish());
}"""

# Let the page hear of its new size; the theme's script then takes a third of a second to give what
# scrolls now a place in the order of tabs. Axe judges what there is after two seconds at most.
FOLLOW = """async () => {
  for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
  const scrolls = e => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight;
  const late = () => [...document.querySelectorAll('[tabindex="-1"]')].some(scrolls);
  for (let i = 0; i < 40 && late(); i++) await new Promise(done => setTimeout(done, 50));
}"""


# How each element of a page shows, kept in the page; returns which show otherwise than at first.
SHOWN = """first => {
  const shown = [...document.body.querySelectorAll('*')].map(e => {
    const s = getComputedStyle(e), box = e.getBoundingClientRect(), shell = e.cloneNode(false);
    for (const name of ['key', 'fresh', 'freshLink']) delete shell.dataset[name];
    return [shell.outerHTML, e.parentElement.tagName, e.parentElement.role,
      e.textContent.trim() === '', s.display, s.visibility,
      s.opacity === '0', box.width === 0, box.height === 0, box.right + scrollX <= 0,
      box.bottom + scrollY <= 0, e.scrollWidth > e.clientWidth, e.scrollHeight > e.clientHeight,
    ].join();
  });
  if (first) {
    window.shownFirst = shown;
    return '';
  }
  const before = window.shownFirst, pairs = [];
  const same = before.length === shown.length;
  for (let i = 0; i < Math.max(before.length, shown.length); i++) {
    if (!same || before[i] !== shown[i]) pairs.push(`${before[i]} -> ${shown[i]}`);
  }
  return pairs.join();
}"""


@dataclass(frozen=True)
class Site:
    """The built book: its folder, its address, its pages relative to both."""

    html: Path
    url: str
    pages: list[str]

    @functools.cached_property
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


def walk(site: Site, browser: Browser, pages: Sequence[str], opening: str) -> list[Visit]:
    """Open pages in one size and theme, then show each in the other size, and in both themes.

    A page opens as for a reader who chose that theme before: the dark one on the phone, the light
    one on the desktop. Then the theme's button is clicked and the window resized. Listings are
    looked at in one theme.
    """
    sizes = sorted(SIZES, key=opening.__ne__)
    themes = THEMES if opening == "desktop" else THEMES[::-1]
    context = browser.new_context()
    context.add_init_script(
        f"localStorage.setItem('mode', '{themes[0]}'); localStorage.setItem('theme', '{themes[0]}')"
    )
    tab, found, memory = context.new_page(), list[Visit](), Memory()
    for page in pages:
        _resize(tab, opening)
        with _heard(tab) as (console, requests):
            open_page(tab, site.url + page)
            for size in sizes:
                if size != opening:
                    _resize(tab, size)
                    tab.evaluate(FOLLOW)
                visits = [
                    Visit(page, size, theme, {}, console, requests)
                    for theme in (themes if page in site.prose else themes[:1])
                ]
                for visit in visits:
                    if visit.size != opening or visit is not visits[0]:  # else it opened so
                        tab.evaluate(SWITCH, visit.theme)
                    tab.evaluate(SETTLE)
                    visit.look = tab.evaluate(LOOK)
                    if page in site.prose:
                        visit.violations = memory.violations(tab, first=visit is visits[0])
                found += visits
    context.close()
    return found


class Memory:
    """What was judged before, so that axe is asked no question twice."""

    def __init__(self) -> None:
        self._known = set[str]()  # texts and links of which the colours were measured
        self._changes = set[str]()  # between what a page shows in its two themes

    def violations(self, tab: Page, first: bool) -> list[str]:
        """Return what axe finds on a page in its first theme or, by what is new, in its second.

        The rules that see no colour find in the second theme what they found in the first, unless
        other elements show there; and what those are is mostly the same on all pages.
        """
        changed = tab.evaluate(SHOWN, first)
        rules = colours.survey(tab, self._known)
        structure = first or changed not in self._changes
        if not first:
            self._changes.add(changed)
        return colours.violations(tab, rules, structure)


@contextlib.contextmanager
def _heard(tab: Page) -> Iterator[tuple[list[str], list[str]]]:
    """Note the errors that a page tells the console, and the addresses it asks for."""
    console, requests = list[str](), list[str]()

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            console.append(message.text)

    messages: dict[str, Callable[[Any], None]] = {
        "console": hear,
        "pageerror": lambda error: console.append(str(error)),
        "request": lambda request: requests.append(request.url),
    }
    for event, listen in messages.items():
        tab.on(event, listen)  # type: ignore[call-overload]
    yield console, requests
    for event, listen in messages.items():
        tab.remove_listener(event, listen)


def _resize(tab: Page, size: str) -> None:
    """Give the window one of the sizes."""
    width, height = SIZES[size]
    tab.set_viewport_size({"width": width, "height": height})


def open_page(tab: Page, url: str) -> None:
    """Load a page and let it settle."""
    tab.goto(url, wait_until="load")
    if tab.locator(".bd-article .math").count():
        tab.wait_for_function("window.MathJax?.startup?.promise")
        tab.evaluate("window.MathJax.startup.promise")
