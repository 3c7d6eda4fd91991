"""What the walk over the pages leaves out when it measures contrast, and why it may."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.book import colours
from tests.book.walk import SETTLE, SIZES, open_page

if TYPE_CHECKING:
    from tests.book.walk import Site

pytestmark = pytest.mark.browser

ONLY = {"preload": False, "runOnly": {"type": "rule", "values": ["color-contrast"]}}
FAINT = "* { color: #999 !important }"
PAGES = ["labs/08-fool-the-camera-on-the-pi.html", "chapters/data-access-by-request.html"]
KEYS_OF = "selectors => selectors.map(s => document.querySelector(s).dataset.key)"
KEYS = "[...document.querySelectorAll('[data-key]')].map(e => e.dataset.key)"


def test_texts_of_one_key_get_one_verdict(site: Site, browser: Browser) -> None:
    tab = browser.new_page()
    texts, faint = defaultdict[str, int](int), defaultdict[str, int](int)
    for page, (width, height) in itertools.product(PAGES, SIZES.values()):
        tab.set_viewport_size({"width": width, "height": height})
        open_page(tab, site.url + page)
        tab.add_style_tag(content=FAINT)  # now most texts violate the rule
        tab.evaluate(SETTLE)
        colours.survey(tab, set())
        [violation] = Axe().run(tab, options=ONLY).response["violations"]
        for key in tab.evaluate(KEYS):
            texts[key] += 1
        for key in tab.evaluate(KEYS_OF, [node["target"][0] for node in violation["nodes"]]):
            faint[key] += 1
    for counts in (texts, faint):
        counts.pop("", None)  # always measured
    assert sum(faint.values()) > 500
    assert {key: count for key, count in faint.items() if count != texts[key]} == {}
    tab.close()


def test_a_colour_not_seen_before_is_measured(browser: Browser) -> None:
    tab = browser.new_page()
    line = "<p>{}</p>"
    tab.set_content(f"<title>t</title>{line.format('one')}{line.format('two')}")
    known: set[str] = set()
    colours.survey(tab, known)
    fresh = tab.locator("[data-fresh]")
    assert fresh.all_inner_texts() == ["one"]
    for change in ("p { color: #eee }", "body { background: #777 }", "p { font-size: 9px }"):
        tab.set_content(f"<title>t</title>{line.format('one')}")
        colours.survey(tab, known)
        assert fresh.count() == 0
        tab.add_style_tag(content=change)
        colours.survey(tab, known)
        assert fresh.count() == 1, change
    tab.set_content(
        "<title>t</title><p>one</p>"
        "<b style='position: absolute; inset: 0; background: #777; z-index: -1'></b>"
    )
    colours.survey(tab, known)
    assert tab.locator("p[data-fresh]").count() == 1  # something lies under it
    tab.close()


def test_a_link_that_no_line_sets_off_from_its_text_is_measured_once(browser: Browser) -> None:
    tab = browser.new_page()
    known: set[str] = set()
    rules = {}
    for name, style in {
        "underlined": "",
        "plain": "a { text-decoration: none }",
        "plain again": "a { text-decoration: none }",
        "in a line": "p, a { text-decoration: underline }",
        "pale": "a { text-decoration: none; color: #789 }",
    }.items():
        tab.set_content(
            f"<title>t</title><style>{style}</style>"
            "<p>Words before <a href='#'>a link</a> and many words after it.</p>"
        )
        rules[name] = colours.survey(tab, known)
    tab.close()
    assert [name for name, asked in rules.items() if "link-in-text-block" in asked] == [
        "plain",
        "in a line",
        "pale",
    ]
    assert rules["plain again"] == []


def test_a_page_is_after_it_was_judged_what_it_was(browser: Browser) -> None:
    tab = browser.new_page()
    tab.set_content(
        "<!doctype html><html lang=en><title>t</title><main><h1>One</h1><pre><span class=a>x</span>"
        " <span><span>=</span> <b>1</b></span></pre><p>A <span>word</span></p></main>"
    )
    colours.survey(tab, set())
    before = tab.content(), tab.evaluate("document.querySelector('pre').childNodes.length")
    assert colours.violations(tab, colours.RULES) == []
    assert before == (
        tab.content(),
        tab.evaluate("document.querySelector('pre').childNodes.length"),
    )
    tab.close()
