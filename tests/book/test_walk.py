"""What the walk over the pages must not miss, though it asks axe no question twice."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Browser

from helpers.course import book
from tests.book.walk import SIZES, THEMES, Site, walk

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><html lang="en"><title>t</title><main class="bd-article"><h1>A page</h1>
<p>Words of a paragraph.</p><button class="theme-switch-button">Theme</button>{}</main><script>
const data = document.documentElement.dataset, other = {{light: 'dark', dark: 'light'}};
const follow = () => {{ data.theme = data.mode }};
data.mode = localStorage.getItem('mode');
document.querySelector('button').onclick = () => {{ data.mode = other[data.mode]; follow(); }};
follow();</script></html>"""
SHOWN_IN_THE_DARK = "<style>html:not([data-theme=dark]) .{0} {{ display: none }}</style>"
DOT = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
NIGHT = SHOWN_IN_THE_DARK.format("item")
ITEM = '<li class="item">Night</li>'
NARROW = "<style>@media (max-width: 600px) {{ {} }}</style>"
WIDE = "<style>@media (min-width: 601px) {{ {} }}</style>"
GONE = ".gone { display: none }"
BOX = "<style>.box { overflow: auto } .long { width: 500px; height: 60px }</style>"
LINE = (
    "<div class='box'><div class='long'>A line<p>that is wider than a phone, as {}</p></div></div>"
)
PAGES = {
    "index.html": "",
    "_modules/listing.html": "<p>Many lines.</p>",
    "_modules/short.html": "",
    "moon.html": SHOWN_IN_THE_DARK.format("moon") + f'<img class="moon" alt="Moon" src="{DOT}">',
    "nameless.html": SHOWN_IN_THE_DARK.format("star") + f'<img class="star" src="{DOT}">',
    "listed.html": f"{NIGHT}<ul><li>Day</li>{ITEM}</ul>",
    # The same element shows, but not where it belongs.
    "stray.html": f"{NIGHT}<div>Day {ITEM}</div>",
    "faint.html": "<style>[data-theme=dark] p { color: #ddd }</style>",
    # Before the colour is there that is to be seen, the walk would be gone.
    "slow.html": "<style>b { transition: color 9s } [data-theme=dark] b { color: #dde }</style>"
    "<b>Slow</b>",
    "narrow.html": "<style>@media (max-width: 600px) { i { color: #dee } }</style><i>Narrow</i>",
    "link.html": "<style>[data-theme=dark] a { color: #111; text-decoration: none }</style>"
    "<p>A paragraph with <a href='#'>a link</a> in the midst of it.</p>",
    # Two alike in what changes with the size, of which the first is in order.
    "named.html": NARROW.format(GONE) + "<a href='#'><span class='gone'>Go</span> on</a>",
    "unnamed.html": NARROW.format(GONE) + "<a href='#'><span class='gone'>Go</span></a>",
    "wide-named.html": WIDE.format(GONE) + "<a href='#'><span class='gone'>Go</span> on</a>",
    "wide-unnamed.html": WIDE.format(GONE) + "<a href='#'><span class='gone'>Go</span></a>",
    "reached.html": BOX + LINE.format("<a href='#'>a link</a>"),
    "unreached.html": BOX + LINE.format("a table"),
    "steps.html": NARROW.format(GONE) + "<h2>One</h2><h2 class='gone'>Two</h2><h3>Three</h3>",
    "leap.html": NARROW.format(GONE) + "<h2 class='gone'>Two</h2><h3>Three</h3>",
    "code.html": NARROW.format(".a { color: #eee }")
    + "<pre><span><span>x</span></span> = <span><span class='a'>one</span></span></pre>",
    # Its console tells, where it does not open in the size and theme that belong together.
    "opened.html": "<script>if ((innerWidth < 600) !== (localStorage.getItem('mode') === 'dark'))"
    " console.error('opened otherwise')</script>",
}
CLEAN = (
    "index.html", "moon.html", "listed.html", "named.html", "wide-named.html", "reached.html",
    "steps.html",
)  # fmt: skip


@pytest.fixture(scope="module", params=SIZES)
def violations(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> set[tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "_modules").mkdir()
    for name, content in PAGES.items():
        (folder / name).write_text(PAGE.format(content), encoding="utf-8")
    with book.serving(folder) as url:
        visits = walk(Site(folder, url, list(PAGES)), browser, list(PAGES), request.param)
    assert {(v.page, v.size) for v in visits} == set(itertools.product(PAGES, SIZES))
    prose = [page for page in PAGES if page != "_modules/short.html"]
    seen = {(v.page, v.size, v.theme) for v in visits if v.page in prose}
    assert seen == set(itertools.product(prose, SIZES, THEMES))
    assert not [str(v) for v in visits if "opened otherwise" in v.console]
    return {
        (v.page, v.size, v.theme, found.split(":")[0]) for v in visits for found in v.violations
    }


@pytest.mark.parametrize(
    ("page", "rule"),
    [
        ("nameless.html", "image-alt"),
        ("stray.html", "listitem"),
        ("faint.html", "color-contrast"),
        ("slow.html", "color-contrast"),
        ("link.html", "link-in-text-block"),
    ],
)
def test_a_defect_of_the_dark_theme_alone_is_found(
    page: str, rule: str, violations: set[tuple[str, ...]]
) -> None:
    found = {(theme, what) for name, _, theme, what in violations if name == page}
    assert found == {("dark", rule)}


@pytest.mark.parametrize(
    ("page", "size", "rule"),
    [
        ("narrow.html", "phone", "color-contrast"),
        ("code.html", "phone", "color-contrast"),
        ("unnamed.html", "phone", "link-name"),
        ("wide-unnamed.html", "desktop", "link-name"),
        ("unreached.html", "phone", "scrollable-region-focusable"),
        ("leap.html", "phone", "heading-order"),
    ],
)
def test_a_defect_of_one_window_size_alone_is_found(
    page: str, size: str, rule: str, violations: set[tuple[str, ...]]
) -> None:
    found = {(size, what) for name, size, _, what in violations if name == page}
    assert found == {(size, rule)}


def test_nothing_is_found_where_nothing_is_wrong(violations: set[tuple[str, ...]]) -> None:
    assert not [found for found in violations if found[0] in CLEAN]
