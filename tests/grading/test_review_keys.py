"""The page of the written answers in a real browser, by its keys alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from helpers.course.grading.marks import Answer, Marks
from helpers.course.grading.review import ReviewServer

RUBRIC = ("names a number", "names a cost", "says when it would change")
TEXTS = ("It holds: 91 % of the images.\n" * 40, "<b>short</b>", "I decide nothing.")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReviewServer]:
    answers = [
        Answer(f"i{n}", f"Learner {n}", "memo", "Memo", RUBRIC, t) for n, t in enumerate(TEXTS)
    ]
    with ReviewServer(answers, Marks(tmp_path / "marks.sqlite3")) as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


def opened(browser: Browser, server: ReviewServer, **options: object) -> Page:
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.goto(server.address)
    expect(page.locator("li.here")).to_contain_text(RUBRIC[0])
    return page


def marks(server: ReviewServer, number: int) -> tuple[list[int | None], str]:
    return server.marks.of(server.answers[number])


def test_a_class_is_marked_by_keys_alone(browser: Browser, server: ReviewServer) -> None:
    page, saved = opened(browser, server), "#saved"
    page.keyboard.type("210n1")  # without a pause: no key marks the line of another
    expect(page.locator("#where")).to_have_text("Learner 1 · 2 of 3 · 1 with all marks")
    expect(page.locator("li.here")).to_contain_text(RUBRIC[1])
    expect(page.locator("#text")).to_have_text("<b>short</b>")
    assert (marks(server, 0)[0], marks(server, 1)[0]) == ([2, 1, 0], [1, None, None])
    page.keyboard.type("zz")  # back over the border between two answers
    expect(page.locator(saved)).to_have_text("Line 3 is as it was before")
    expect(page.locator("#where")).to_contain_text("Learner 0")
    assert (marks(server, 0)[0], marks(server, 1)[0]) == ([2, 1, None], [None] * 3)
    page.keyboard.type("9kx")  # nine is no mark; the mark of the line before is taken back
    expect(page.locator("#line-1-1")).to_have_attribute("aria-pressed", "false")
    assert marks(server, 0)[0] == [2, None, None]
    page.keyboard.type("u")
    expect(page.locator("#where")).to_contain_text("Learner 1")
    page.reload()
    expect(page.locator("#where")).to_contain_text("Learner 1")  # where its reader was
    page.keyboard.type("pzj")
    expect(page.locator(saved)).to_have_text("There is nothing to undo")
    expect(page.locator("#line-0-2")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("li.here")).to_contain_text(RUBRIC[1])


def test_a_comment_is_text_and_no_command(browser: Browser, server: ReviewServer) -> None:
    page = opened(browser, server)
    page.keyboard.type("c")
    expect(page.locator("#comment")).to_be_focused()
    page.keyboard.type("n2x? u")
    expect(page.locator("#comment")).to_have_value("n2x? u")
    expect(page.locator("#help")).to_be_hidden()
    expect(page.locator("#where")).to_contain_text("Learner 0")
    assert marks(server, 0)[0] == [None] * 3
    page.keyboard.press("Escape")
    page.keyboard.type("2n")
    expect(page.locator("#where")).to_contain_text("Learner 1")
    expect(page.locator("#comment")).to_have_value("")
    assert marks(server, 0) == ([2, None, None], "n2x? u")
    page.keyboard.type("c")
    page.keyboard.type("kept without leaving it")
    expect(page.locator("#saved")).to_have_text("Saved")
    page.reload()
    expect(page.locator("#comment")).to_have_value("kept without leaving it")


def test_the_list_of_keys_takes_none_of_them(browser: Browser, server: ReviewServer) -> None:
    page = opened(browser, server)
    page.keyboard.type("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.type("2nz")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    expect(page.locator("#where")).to_have_text("Learner 0 · 1 of 3 · 0 with all marks")
    assert marks(server, 0)[0] == [None] * 3


def test_focus_is_seen_and_stays_where_it_was(browser: Browser, server: ReviewServer) -> None:
    page = opened(browser, server)
    page.keyboard.press("Tab")
    button = page.locator("#line-0-0")
    expect(button).to_be_focused()
    expect(button).to_have_css("outline-style", "solid")
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_be_focused()
    assert marks(server, 0)[0] == [0, None, None]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1400, 900), (390, 844)], ids=["desktop", "phone"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: Browser, server: ReviewServer, size: tuple[int, int], scheme: str
) -> None:
    view = {"width": size[0], "height": size[1]}
    page = opened(browser, server, viewport=view, color_scheme=scheme)
    page.keyboard.type("12")
    expect(page.locator("li.here")).to_contain_text(RUBRIC[2])
    for keys in ("", "?"):
        page.keyboard.type(keys)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [f"{v['id']}: {n['html'][:120]}" for v in found for n in v["nodes"]] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
