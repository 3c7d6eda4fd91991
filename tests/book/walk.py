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

# Let no colour be on its way.
SETTLE = """() => {
  getComputedStyle(document.body).color;
  document.getAnimations().forEach(a => a instanceof CSSTransition && a.finish());
}"""

# Click the theme's button until the page is in a theme, if one is named, and let no colour be on
# its way; then collect in the page what it gets wrong by itself.
LOOK = f"""theme => {{
  const root = document.documentElement;
  const button = document.querySelector('button.theme-switch-button');
  for (let i = 0; theme && i < 3 && root.dataset.mode !== theme; i++) button.click();
  ({SETTLE})();
  const article = document.querySelector('.bd-article, .bd-search-container');
  const images = [...document.images].filter(i => i.loading !== 'lazy');
  return {{
    overflow: root.scrollWidth - window.innerWidth,
    broken: images.filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src),
    headings: [...article.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(h => +h.tagName[1]),
    maths: article.querySelectorAll('.math').length,
    drawn: article.querySelectorAll('.math mjx-container').length,
    theme: root.dataset.theme,
  }};
}}"""

# Let the page hear of its new size; the theme's script then takes a third of a second to give what
# scrolls now a place in the order of tabs, or on a busy machine longer. Axe judges what there is
# after ten seconds at most.
FOLLOW = """async () => {
  for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
  const scrolls = e => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight;
  const late = () => [...document.querySelectorAll('[tabindex="-1"]')].some(scrolls);
  for (let i = 0; i < 200 && late(); i++) await new Promise(done => setTimeout(done, 50));
}"""


# What shows otherwise than when axe judged the page, as hashes that leave out what the rules that
# see no colour do not see: words, addresses, names. Keeps how the page shows at first.
SHOWN = (
    "first => {"
    + colours.HASH
    + r"""
  const OPEN = /^(role|aria-(?!label|describedby|controls|owns)|tabindex|type|disabled|hidden)/;
  const NAMED = 'a, button, summary, label, li, th, td, dt, dd, figure, caption, legend, '
    + '[role]:not([role=main], [role=region]), h1, h2, h3, h4, h5, h6';
  const LANDMARKS = 'main, nav, header, footer, aside, [role=banner], [role=complementary], '
    + '[role=contentinfo], [role=form], [role=main], [role=navigation], [role=region], '
    + '[role=search], section[aria-label], section[aria-labelledby], form[aria-label]';
  const FOCUSED = 'a[href], button, input, select, textarea, summary, iframe, [tabindex]';
  const marks = e => [...e.attributes].filter(a => !/^data-(key|fresh)/.test(a.name));
  const shell = e => [e.localName, ...marks(e).map(
    a => OPEN.test(a.name) ? `${a.name}=${a.value}` : a.name + (a.value ? '' : '='))].join(' ');
  const shows = e => e.checkVisibility({visibilityProperty: true})
    && !e.closest('[aria-hidden=true]');
  const tokens = new Set(), now = new Map(), facts = new Set();
  for (const e of document.body.querySelectorAll('*')) {
    const names = marks(e), above = e.parentElement;
    // A piece of code says nothing to the rules that its block does not.
    if (e.localName === 'span' && names.every(a => a.name === 'class')
        && (above.localName === 'pre' || tokens.has(above))) {
      tokens.add(e);
      continue;
    }
    const s = getComputedStyle(e), box = e.getBoundingClientRect();
    const state = [s.display, s.visibility, s.opacity === '0',
      s.display !== 'inline' && box.width * box.height === 0, box.right + scrollX <= 0,
      box.bottom + scrollY <= 0, s.overflow !== 'visible' && e.scrollWidth > e.clientWidth,
      s.overflow !== 'visible' && e.scrollHeight > e.clientHeight].join();
    now.set(e, [state, names.map(a => a.name + a.value).join(), shell(e)]);
  }
  // What the rules about the whole page see.
  const heads = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6, [role=heading]')];
  const levels = heads.filter(shows).map(h => h.ariaLevel || h.localName[1]);
  levels.forEach((level, i) => facts.add(`${levels[i - 1]} ${level}`));
  const landmarks = [...document.querySelectorAll(LANDMARKS)].filter(shows);
  facts.add(landmarks.map(e => [e.localName, e.role, e.ariaLabel]).join(';'));
  const told = [...facts].map(hash);
  if (first) {
    window.shownFirst = now;
    return told.join(' ');
  }
  const places = new Map();  // in what an element stands
  const stands = e => {
    if (!e) return [];
    if (!places.has(e)) {
      const own = [e.localName, e.role, e.ariaHidden].join(' ');
      places.set(e, [...new Set([...stands(e.parentElement), own])].sort());
    }
    return places.get(e);
  };
  const changes = new Set();
  for (const e of new Set([...now.keys(), ...window.shownFirst.keys()])) {
    const before = window.shownFirst.get(e), after = now.get(e);
    if (before?.[0] === after?.[0] && before?.[1] === after?.[1]) continue;
    const named = e.parentElement?.closest(NAMED), inner = e.querySelector(FOCUSED);
    changes.add([before?.[0], before?.[2], after?.[0], after?.[2], e.parentElement?.localName,
      stands(e.parentElement), e.innerText?.trim() === '', e.querySelector('img, svg') !== null,
      inner && shell(inner), e.control && shell(e.control), named && shell(named),
      named?.innerText?.trim() === '',
      named?.querySelector('img, svg') && shell(named.querySelector('img, svg'))].join('|'));
  }
  return [...told, ...[...changes].map(hash)].join(' ');
}"""
)


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
    looked at in one theme, and open in the size that the window has from the page before.
    """
    themes = THEMES if opening == "desktop" else THEMES[::-1]
    context = browser.new_context()
    context.add_init_script(
        f"localStorage.setItem('mode', '{themes[0]}'); localStorage.setItem('theme', '{themes[0]}')"
    )
    tab, found, memory = context.new_page(), list[Visit](), Memory()
    current = ""
    for page in pages:
        opened = current if current and page not in site.prose else opening
        if opened != current:
            _resize(tab, opened)
        with _heard(tab) as (console, requests):
            open_page(tab, site.url + page)
            for current in sorted(SIZES, key=opened.__ne__):
                if current != opened:
                    _resize(tab, current)
                    tab.evaluate(FOLLOW)
                visits = [
                    Visit(page, current, theme, {}, console, requests)
                    for theme in (themes if page in site.prose else themes[:1])
                ]
                for visit in visits:
                    as_opened = visit.size == opened and visit is visits[0]
                    visit.look = tab.evaluate(LOOK, None if as_opened else visit.theme)
                    if page in site.prose:
                        visit.violations = memory.violations(tab, first=as_opened)
                found += visits
    context.close()
    return found


class Memory:
    """What was judged before, so that axe is asked no question twice."""

    def __init__(self) -> None:
        self._known = set[str]()  # texts and links of which the colours were measured
        self._shown = set[str]()  # what showed otherwise than at first, and what stands on pages

    def violations(self, tab: Page, first: bool) -> list[str]:
        """Return what axe finds on a page as it is shown first or, by what is new, later.

        The rules that see no colour find in the other theme and size what they found at first,
        unless something shows otherwise; and what that is is mostly the same on all pages.
        """
        shown = set(tab.evaluate(SHOWN, first).split())
        rules = colours.survey(tab, self._known)
        structure = first or not shown <= self._shown
        self._shown |= shown
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
