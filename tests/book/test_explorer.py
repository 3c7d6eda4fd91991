"""The explorer of designs, in a real browser: what it draws, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from helpers.errors import RobustnessError
from helpers.robustness.explorer import Explorer
from helpers.robustness.frontier import Design, Measure

pytestmark = pytest.mark.browser

SIZE = Measure("kilobytes", "size (kB)", False)
ROBUST = Measure("robust", "robust accuracy", True)
CLEAN = Measure("clean", "clean accuracy", True)
DESIGNS = [
    Design("small, plain", {"training": "plain"}, {"kilobytes": 7, "robust": 0.02, "clean": 0.6}),
    Design("small, pgd", {"training": "pgd"}, {"kilobytes": 7, "robust": 0.25, "clean": 0.4}),
    Design("large, plain", {"training": "plain"}, {"kilobytes": 90, "robust": 0.01, "clean": 0.75}),
    Design(
        "large, <b>pgd</b>", {"training": "pgd"}, {"kilobytes": 91, "robust": 0.4, "clean": 0.6}
    ),
]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    explorer = Explorer(DESIGNS, [SIZE, ROBUST, CLEAN], "training")
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.set_content(f"<!doctype html><title>t</title>{explorer._repr_html_()}")
    yield tab
    assert errors == []
    tab.close()


def rows(page: Page) -> list[str]:
    return page.locator("tbody th").all_inner_texts()


def test_it_draws_every_design_and_names_those_on_the_front(page: Page) -> None:
    assert page.locator("svg circle").count() == 2
    assert page.locator("svg rect").count() == 2
    assert page.locator("svg title").count() == len(DESIGNS)
    assert rows(page) == ["small, pgd", "large, <b>pgd</b>"]  # and a name is no markup


def test_a_budget_and_other_axes_change_what_is_left(page: Page) -> None:
    page.get_by_label("size (kB) at most").fill("50")
    assert rows(page) == ["small, pgd"]
    assert "2 of 4 designs keep to the budget; 1 of them" in page.get_by_role("status").inner_text()
    page.get_by_label("Up", exact=True).select_option("clean accuracy")
    assert rows(page) == ["small, plain"]
    page.get_by_label("size (kB) at most").fill("")
    assert rows(page) == ["small, plain", "large, plain"]
    page.get_by_label("clean accuracy at least").fill("0.99")
    assert rows(page) == []


def test_without_scripts_the_table_is_there(browser: Browser) -> None:
    explorer = Explorer(DESIGNS, [SIZE, ROBUST], "training", {"kilobytes": 50})
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.set_content(explorer._repr_html_())
    assert rows(tab) == ["small, pgd"]
    assert not tab.get_by_label("Across").is_visible()
    context.close()
    assert repr(explorer) == "4 designs; on the front within the budget: small, pgd"


def test_what_it_cannot_draw_is_said_at_once() -> None:
    with pytest.raises(RobustnessError, match="no trait 'colour'"):
        Explorer(DESIGNS, [SIZE, ROBUST], "colour")
    with pytest.raises(RobustnessError, match="a picture needs two"):
        Explorer(DESIGNS, [SIZE], "training")
    with pytest.raises(RobustnessError, match="no measure 'clean'"):
        Explorer(DESIGNS, [SIZE, ROBUST], "training", {"clean": 0.5})
