"""What the walk over the pages leaves out when it measures contrast, and why it may."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.book import colours
from tests.book.walk import SIZES

if TYPE_CHECKING:
    from tests.book.walk import Site

pytestmark = pytest.mark.browser

CASES = [  # a rule, a page, a size of its window, and what at least it must find there
    ("color-contrast", "labs/01-train-across-devices.html", "desktop", 500),
    ("color-contrast", "chapters/federated-learning.html", "phone", 500),
    ("link-in-text-block", "chapters/glossary.html", "desktop", 30),
    ("link-in-text-block", "chapters/federated-learning.html", "phone", 30),
]
# A style in which most texts, or most links within a text, violate the rule.
STYLES = {
    "color-contrast": "* { color: #999 !important }",
    "link-in-text-block": "* { color: #000 !important } a, a * { color: #222 !important; "
    "text-decoration: none !important; border: 0 !important; outline: 0 !important; "
    "font-weight: inherit !important; font-size: inherit !important }",
}
KEY_OF = "selector => document.querySelector(selector).dataset.key"
KEYS = "selector => [...document.querySelectorAll(selector)].map(e => e.dataset.key)"
SELECTORS = {"color-contrast": "[data-key]", "link-in-text-block": "a[href][data-key]"}


@pytest.mark.parametrize(("rule", "page", "size", "many"), CASES)
def test_all_of_one_key_get_one_verdict(
    rule: str, page: str, size: str, many: int, site: Site, browser: Browser
) -> None:
    width, height = SIZES[size]
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.goto(site.url + page)
    tab.add_style_tag(content=STYLES[rule])
    assert colours.survey(tab, set()).fresh
    only = {"preload": False, "runOnly": {"type": "rule", "values": [rule]}}
    [violation] = Axe().run(tab, options=only).response["violations"]
    judged, faulty = defaultdict[str, int](int), defaultdict[str, int](int)
    for key in tab.evaluate(KEYS, SELECTORS[rule]):
        judged[key] += 1
    for node in violation["nodes"]:
        faulty[tab.evaluate(KEY_OF, node["target"][0])] += 1
    for counts in (judged, faulty):
        counts.pop("", None)  # always judged
    assert sum(faulty.values()) > many
    assert {key: count for key, count in faulty.items() if count != judged[key]} == {}
    tab.close()


def test_a_colour_not_seen_before_is_measured(browser: Browser) -> None:
    tab = browser.new_page()
    line = "<p>{}</p>"
    tab.set_content(f"<title>t</title>{line.format('one')}{line.format('two')}")
    known: set[str] = set()
    assert colours.survey(tab, known).fresh
    assert tab.locator("[data-fresh]").all_inner_texts() == ["one"]
    for change in ("p { color: #eee }", "body { background: #777 }", "p { font-size: 9px }"):
        tab.set_content(f"<title>t</title>{line.format('one')}")
        assert not colours.survey(tab, known).fresh
        tab.add_style_tag(content=change)
        assert colours.survey(tab, known).fresh, change
    tab.set_content(
        "<title>t</title><p>one</p>"
        "<b style='position: absolute; inset: 0; background: #777; z-index: -1'></b>"
    )
    colours.survey(tab, known)
    assert tab.locator("p[data-fresh]").count() == 1  # something lies under it
    tab.close()
