"""The built book in a browser: what every page owes its reader."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser

from helpers.course import address, contents

if TYPE_CHECKING:
    from tests.book.walk import Site, Visit

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.browser
LABS = contents.lab_pages(ROOT)


class Anchors(HTMLParser):
    """The names in a page that a link can point to, and where its own links point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {value or "" for key, value in attrs if key in ("id", "name")}
        if tag == "a":
            self.links += [value or "" for key, value in attrs if key == "href"]


@pytest.fixture(scope="module")
def anchors(site: Site) -> dict[str, Anchors]:
    return {page: Anchors((site.html / page).read_text("utf-8")) for page in site.pages}


@pytest.fixture(scope="module")
def soups(site: Site) -> dict[str, BeautifulSoup]:
    """The pages of the labs."""
    return {
        page: BeautifulSoup((site.html / page).read_text("utf-8"), "html.parser")
        for page in (f"labs/{lab}.html" for lab in LABS)
    }


def test_every_page_of_the_contents_is_built(site: Site) -> None:
    contents = re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text())
    assert {f"{name}.html" for name in contents} <= set(site.pages)


def test_the_chapter_template_is_not_part_of_the_book(site: Site) -> None:
    assert (ROOT / "chapters/_template.md").is_file()
    assert "chapters/_template.html" not in site.pages


def test_no_page_logs_an_error_to_the_console(visits: list[Visit]) -> None:
    assert not [f"{visit}: {visit.console}" for visit in visits if visit.console]


def test_no_page_asks_the_network_for_anything(site: Site, visits: list[Visit]) -> None:
    ours = (site.url, "data:", "blob:")
    away = {url for visit in visits for url in visit.requests if not url.startswith(ours)}
    assert not away
    assert all(visit.requests for visit in visits), "a page without any request was not loaded"


def test_pages_open_from_files_without_a_server(site: Site, browser: Browser) -> None:
    tab = browser.new_page()
    asked: list[str] = []
    errors: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    for page in ("index.html", "chapters/differential-privacy.html", f"labs/{LABS[0]}.html"):
        tab.goto((site.html / page).as_uri(), wait_until="load")
        tab.evaluate("window.MathJax?.startup?.promise")
        assert (
            tab.locator(".bd-article .math").count()
            == tab.locator(".bd-article .math mjx-container").count()
        )
    tab.close()
    assert asked
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert not errors


def test_icons_are_drawn_in_the_pages_and_no_script_is_loaded_for_them(site: Site) -> None:
    for page in site.pages:
        text = (site.html / page).read_text("utf-8")
        assert "all.min.js" not in text, page
        assert not re.search(r'<\w+ [^<>]*class="[^"]*\bfa[sbr]? [^"]*"[^<>]*></(i|span)>', text), (
            page
        )
        assert "fa-solid" not in text, page
        assert re.search(r'<svg class="[^"]*svg-inline--fa"[^>]*><path [^>]*d="M', text), page


def test_every_image_is_there(visits: list[Visit]) -> None:
    assert not [f"{visit}: {visit.look['broken']}" for visit in visits if visit.look["broken"]]


def test_no_page_is_wider_than_its_window(visits: list[Visit]) -> None:
    wide = [f"{v}: {v.look['overflow']} px" for v in visits if v.look["overflow"] > 0]
    assert not wide


def test_all_maths_is_drawn(visits: list[Visit]) -> None:
    assert not [str(v) for v in visits if v.look["drawn"] < v.look["maths"]]
    assert any(visit.look["maths"] for visit in visits)


def test_each_page_has_one_title_and_skips_no_heading_level(visits: list[Visit]) -> None:
    for visit in visits:
        levels = visit.look["headings"]
        assert levels[:1] == [1], f"{visit} begins with heading levels {levels[:3]}"
        assert levels.count(1) == 1, f"{visit} has {levels.count(1)} titles"
        skips = [pair for pair in itertools.pairwise(levels) if pair[1] > pair[0] + 1]
        assert not skips, f"{visit} jumps between heading levels {skips}"


def test_axe_finds_no_violation(visits: list[Visit]) -> None:
    found = {violation: str(visit) for visit in visits for violation in visit.violations}
    assert not found


def test_the_theme_follows_the_reader(visits: list[Visit]) -> None:
    assert all(visit.look["theme"] == visit.theme for visit in visits)


def test_the_theme_button_darkens_the_page(site: Site, browser: Browser) -> None:
    tab = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
    tab.goto(site.url + "index.html")
    background = "getComputedStyle(document.body).backgroundColor"
    seen = {tab.evaluate(background)}
    for _ in range(3):  # automatic, light, dark
        tab.locator("button.theme-switch-button:visible").first.click()
        seen.add(tab.evaluate(background))
    tab.close()
    assert len(seen) == 2


def test_searching_for_federated_finds_the_chapter(site: Site, browser: Browser) -> None:
    tab = browser.new_page()
    tab.goto(site.url + "search.html?q=federated")
    results = tab.locator("#search-results ul.search li a")
    results.first.wait_for(timeout=20_000)
    tab.wait_for_function("document.querySelector('#search-results p.search-summary')?.innerText")
    addresses = [link.get_attribute("href") or "" for link in results.all()]
    tab.close()
    assert any("chapters/federated-learning.html" in address for address in addresses)


def test_a_word_that_is_nowhere_is_not_found(site: Site, browser: Browser) -> None:
    tab = browser.new_page()
    tab.goto(site.url + "search.html?q=zyzzogeton")
    tab.wait_for_function("document.querySelector('#search-results p.search-summary')?.innerText")
    assert tab.locator("#search-results ul.search li a").count() == 0
    tab.close()


def test_questions_are_filtered_without_a_server(site: Site, browser: Browser) -> None:
    tab = browser.new_page()
    tab.goto((site.html / "chapters/questions/index.html").as_uri())
    shown = tab.locator("li.question:visible")
    everything = shown.count()
    tab.select_option("select[name=level]", "principal")
    some = shown.count()
    assert 0 < some < everything
    assert tab.inner_text(".question-filters output") == f"{some} of {everything} questions"
    kinds = tab.locator("li.question:visible .question-kind").all_inner_texts()
    assert all(kind.startswith("principal") for kind in kinds)
    tab.close()


def test_without_scripts_every_question_is_there_and_its_answer_opens(
    site: Site, browser: Browser
) -> None:
    tab = browser.new_context(java_script_enabled=False).new_page()
    tab.goto((site.html / "chapters/questions/robustness.html").as_uri())
    assert tab.locator("section.question:visible").count() >= 2
    assert not tab.locator(".question-filters").is_visible()
    answer = tab.locator("section#lens-flare details.answer").first
    assert not answer.locator("p").first.is_visible()
    answer.locator("summary").click()
    assert answer.locator("p").first.is_visible()
    tab.context.close()


def test_every_link_within_the_book_resolves(site: Site, anchors: dict[str, Anchors]) -> None:
    broken = []
    for page, found in anchors.items():
        for link in found.links:
            target, fragment = urldefrag(urljoin(f"book:/{page}", link))
            if not target.startswith("book:/"):
                continue
            path = unquote(urlparse(target).path).lstrip("/")
            if not (site.html / path).is_file() or (
                fragment
                and path in anchors
                and unquote(fragment) not in anchors[path].names | {"top"}
            ):
                broken.append(f"{page} -> {link}")
    assert not broken


@pytest.mark.parametrize("lab", LABS)
def test_the_colab_button_of_a_lab_opens_its_notebook_in_the_repository(
    lab: str, soups: dict[str, BeautifulSoup]
) -> None:
    buttons = soups[f"labs/{lab}.html"].select(".article-header-buttons a[href*=colab]")
    assert [b["href"] for b in buttons] == [address.colab_url(ROOT, f"labs/{lab}.ipynb")]


def test_a_page_somebody_wrote_shows_its_source_and_a_generated_one_does_not(
    anchors: dict[str, Anchors],
) -> None:
    home = address.repository(ROOT)
    for page in re.findall(r"(?:root|file): (\S+)", (ROOT / "_toc.yml").read_text()):
        sources = [link for link in anchors[f"{page}.html"].links if link.endswith("?plain=1")]
        url = f"{home.url}/blob/{home.branch}/{page}.md?plain=1"
        assert sources == ([] if page.startswith("labs/") else [url])
        assert page.startswith("labs/") or (ROOT / f"{page}.md").is_file()


def test_every_colab_link_names_a_notebook_that_exists(anchors: dict[str, Anchors]) -> None:
    start = address.colab_url(ROOT, "")
    links = {link for a in anchors.values() for link in a.links if "colab.research" in link}
    assert links
    for link in links:
        assert link.startswith(start), f"{link} is not in the repository of _config.yml"
        path = ROOT / link.removeprefix(start)
        assert path.suffix == ".ipynb"
        assert path.is_file(), f"{link} names no file"


@pytest.mark.parametrize("lab", LABS)
def test_the_download_button_of_a_lab_gives_the_learners_notebook(
    lab: str, site: Site, soups: dict[str, BeautifulSoup]
) -> None:
    page = f"labs/{lab}.html"
    buttons = soups[page].select(".dropdown-download-buttons a[href$='.ipynb']")
    paths = [Path(site.html, "labs", str(button["href"])).resolve() for button in buttons]
    assert len(paths) == 1
    assert paths[0].read_bytes() == (ROOT / "labs" / f"{lab}.ipynb").read_bytes()


def test_no_line_breaks_inside_an_option(soups: dict[str, BeautifulSoup]) -> None:
    option = re.compile(r"(?<!\S)--?\w")
    codes = [code for soup in soups.values() for code in soup.select(".bd-article code")]
    named = [code for code in codes if option.search(code.get_text())]
    assert named
    assert [str(code) for code in named if not code.select_one(".option")] == []


def test_every_room_of_helpers_has_its_page_in_the_reference() -> None:
    rooms = {
        path.stem
        for path in (ROOT / "helpers").iterdir()
        if not path.name.startswith("_")
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    pages = {path.stem for path in (ROOT / "chapters/api").glob("*.md")} - {"index"}
    assert {page.split("-")[0] for page in pages} == pages & rooms == rooms - {"cli"}
