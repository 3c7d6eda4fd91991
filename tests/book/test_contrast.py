"""What the walk over the pages leaves out when it measures contrast, and why it may."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.book import contrast
from tests.book.conftest import CONTRAST, SIZES

if TYPE_CHECKING:
    from tests.book.conftest import Site

pytestmark = pytest.mark.browser

ONLY = {"preload": False, "runOnly": {"type": "rule", "values": [CONTRAST]}}
FAINT = "* { color: #999 !important }"
PAGES = ["labs/01-train-across-devices.html", "chapters/federated-learning.html"]
KEY_OF = "selector => document.querySelector(selector).dataset.contrast"
KEYS = "[...document.querySelectorAll('[data-contrast]')].map(e => e.dataset.contrast)"


@pytest.mark.parametrize(("page", "size"), list(zip(PAGES, SIZES, strict=True)))
def test_texts_of_one_key_get_one_verdict(
    page: str, size: str, site: Site, browser: Browser
) -> None:
    width, height = SIZES[size]
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.goto(site.url + page)
    tab.add_style_tag(content=FAINT)  # now most texts violate the rule
    assert contrast.mark(tab, set())
    [violation] = Axe().run(tab, options=ONLY).response["violations"]
    texts, faint = defaultdict[str, int](int), defaultdict[str, int](int)
    for key in tab.evaluate(KEYS):
        texts[key] += 1
    for node in violation["nodes"]:
        faint[tab.evaluate(KEY_OF, node["target"][0])] += 1
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
    assert contrast.mark(tab, known)
    assert tab.locator("[data-fresh]").all_inner_texts() == ["one"]
    for change in ("p { color: #eee }", "body { background: #777 }", "p { font-size: 9px }"):
        tab.set_content(f"<title>t</title>{line.format('one')}")
        assert not contrast.mark(tab, known)
        tab.add_style_tag(content=change)
        assert contrast.mark(tab, known), change
    tab.set_content(
        "<title>t</title><p>one</p>"
        "<b style='position: absolute; inset: 0; background: #777; z-index: -1'></b>"
    )
    contrast.mark(tab, known)
    assert tab.locator("p[data-fresh]").count() == 1  # something lies under it
    tab.close()
