"""``helpers.course.book_pdf``: a small book on paper, and three pages of ours."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner
from pypdf import PageObject, PdfReader

from helpers.cli.book import command
from helpers.course import book_pdf
from helpers.errors import CourseError

if TYPE_CHECKING:
    from tests.book.walk import Site

ROOT = Path(__file__).parents[2]
MILLIMETRE = 72 / 25.4
CONFIG = """\
title: Small
author: Ada
repository: {url: "https://github.com/someone/small", branch: main}
"""
TOC = """\
format: jb-book
root: index
parts:
- caption: First part
  chapters:
  - file: chapters/one
    sections:
    - file: chapters/below
- caption: Second part
  chapters:
  - file: chapters/two
  - file: chapters/api/index
    sections:
    - file: chapters/api/data
"""
PAGE = """<!DOCTYPE html><html data-theme="dark"><head><meta charset="utf-8">
<link rel="stylesheet" href="{up}_static/print.css"></head>
<body><div class="bd-sidebar-primary">navigation</div><article class="bd-article">{body}</article>
</body></html>"""
PAGES = {
    "index": '<section id="small"><h1>Small</h1><a href="chapters/two.html#far">far</a>'
    '<ul class="question-list"><li><a href="chapters/one.html#within">Why?</a> '
    '<span class="question-kind">junior</span></li></ul></section>',
    "chapters/one": '<section id="one"><h1>One<a class="headerlink" href="#one">#</a></h1>'
    '<section id="within"><h2>Within <code>it</code></h2>'
    '<a href="#within">here</a><a href="../_modules/source.html#L1">source</a>'
    '<a href="https://example.org/">elsewhere</a>'
    "<details><summary>Answer</summary>folded away</details>"
    '<details class="above-input"><summary>Show code</summary>the code</details></section>'
    "</section>",
    "chapters/below": '<section id="below"><h1>Below</h1><table><tr>'
    + "".join(f"<td><code>column{i:02d}</code></td>" for i in range(40))
    + "</tr></table></section>",
    "chapters/two": '<section id="two"><h1>Two "quoted"</h1>'
    + "".join(f"<p>line {i}</p>" for i in range(80))
    + '<section id="far"><h2>Far</h2>the end</section></section>',
    "chapters/api/index": '<section id="api"><h1>API</h1><a href="data.html#a">a</a></section>',
    "chapters/api/data": '<section id="data"><h1>Data</h1><p id="a">a</p></section>',
}
# What the pages of a lab hold that fits a page badly: code after a text, of more than a page, as
# the theme frames it; a drawing for a wide screen; a sound; a page within the page.
CODE = "\n".join(f"line_{i:03d} = 1" for i in range(120))
WITHIN = "".join(f"<p>within {i}</p>" for i in range(60))
STYLE = ".cell_input { display: flex } .highlight-ipython3 { break-inside: avoid }"
SECTIONS = "".join(
    f'<section id="a{i}"><h2>Above {i}.</h2><section id="b{i}"><h3>Below {i}.</h3>'
    f"<p>{f'Words {i}. ' * 12 * (2 + i)}</p></section></section>"
    for i in range(20)
)
LAB = f"""<style>{STYLE}</style><section id="lab"><h1>Lab</h1><p>Text.</p>
<div class="cell"><div class="cell_input"><div class="highlight-ipython3">
<div class="highlight"><pre>{CODE}</pre></div></div></div>
</div>
<table class="dataframe"><tr><td>{"what you take from it " * 9}</td><td>120 min</td></tr></table>
<div class="output"><svg width="1500" height="600"><text y="30">wide drawing</text></svg></div>
<table><tr><td><audio controls></audio></td></tr></table>
<div class="output"><iframe srcdoc="{WITHIN}" style="height: 60px"></iframe></div>
{SECTIONS}</section>"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository whose book is built: five pages in two parts, and one that is not printed."""
    return built(tmp_path, TOC, PAGES)


def built(root: Path, toc: str, pages: dict[str, str]) -> Path:
    """Write a repository with a built book of some pages."""
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(toc)
    html = root / "build/book/html"
    (html / "_static").mkdir(parents=True)
    shutil.copy(ROOT / "_static/print.css", html / "_static")
    for name, body in pages.items():
        up = "../" * name.count("/")
        (html / f"{name}.html").parent.mkdir(parents=True, exist_ok=True)
        (html / f"{name}.html").write_text(PAGE.format(up=up, body=body))
    return root


def bookmarks(reader: PdfReader, outline: Any = None, level: int = 0) -> list[tuple[int, str, int]]:
    """Level, title and page of every bookmark."""
    found: list[tuple[int, str, int]] = []
    for item in reader.outline if outline is None else outline:
        if isinstance(item, list):
            found += bookmarks(reader, item, level + 1)
        else:
            found.append((level, str(item.title), reader.get_destination_page_number(item) or 0))
    return found


def astray(reader: PdfReader, outline: Any = None) -> list[str]:
    """Titles of the bookmarks that do not lead to just above their heading."""
    found: list[str] = []
    for item in reader.outline if outline is None else outline:
        if isinstance(item, list):
            found += astray(reader, item)
        elif item.top is not None:  # that of a part leads to a whole page
            title, height = str(item.title), float(item.top) / MILLIMETRE
            page = reader.pages[reader.get_destination_page_number(item) or 0]
            tops = [y for text, _, y in placed(page) if title.startswith(text.strip()) and y < 275]
            found += [title] if not any(3 < height - top < 12 for top in tops) else []
    return found


def links(page: PageObject) -> list[Any]:
    """Where the links of a page lead: a page of the file, or an address."""
    found = []
    for reference in page.get("/Annots", ()):
        link = reference.get_object()
        found.append(link["/Dest"][0].get_object() if "/Dest" in link else link["/A"]["/URI"])
    return found


def placed(page: PageObject) -> list[tuple[str, float, float]]:
    """The pieces of text on a page, each with where it begins: millimetres from left and below."""
    found = []

    def keep(text: str, outer: list[float], inner: list[float], *_: Any) -> None:
        x = inner[4] * outer[0] + inner[5] * outer[2] + outer[4]
        y = inner[4] * outer[1] + inner[5] * outer[3] + outer[5]
        found.append((text, x / MILLIMETRE, y / MILLIMETRE))

    page.extract_text(visitor_text=keep)
    return [piece for piece in found if piece[0].strip()]


def body_of(page: PageObject) -> list[str]:
    """The text between the line at the top and the number at the bottom."""
    return [text for text, _, y in placed(page) if 20 < y < 275]


def test_a_small_book_becomes_one_pdf(small: Path) -> None:
    path, count = book_pdf.write(small, progress=False)
    reader = PdfReader(path)
    pages = list(reader.pages)
    assert count == len(pages) == 9  # cover, contents, and one page of the book takes three
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("Small", "Ada")
    assert reader.page_labels == ["i", "ii", *"1234567"]
    assert bookmarks(reader) == [
        (0, "Contents", 1),
        (0, "Small", 2),
        (0, "First part", 3),
        (1, "One", 3),
        (2, "Within it", 3),
        (2, "Below", 4),
        (0, "Second part", 5),
        (1, 'Two "quoted"', 5),
        (2, "Far", 7),
        (1, "API", 8),
    ]
    assert astray(reader) == []
    texts = [page.extract_text() for page in pages]
    assert all(body_of(page) for page in pages), "a page is blank"
    for title, number in (("Small", 1), ("One", 2), ("Below", 3), ('Two "quoted"', 4)):
        assert title in texts[1]
        assert texts[number + 1].split("\n").count(str(number)) == 1
    assert all('Two "quoted"' in text for text in texts[5:8])
    assert re.search(r"Why\?\s+junior\s+2\b", texts[2]), "the page of a question is not named"
    assert "folded away" in texts[3]
    assert not any(hidden in texts[3] for hidden in ("navigation", "the code", "#"))

    assert links(pages[2]) == [pages[7], pages[3]]
    assert links(pages[8]) == ["https://someone.github.io/small/chapters/api/data.html#a"]
    within, source, elsewhere = links(pages[3])
    assert within == pages[3]
    assert source == "https://someone.github.io/small/_modules/source.html#L1"
    assert elsewhere == "https://example.org/"
    assert links(pages[1]) == [pages[i] for i in (2, 3, 4, 5, 8)]


def test_a_table_that_is_too_wide_shrinks_into_the_margins(small: Path) -> None:
    path, _ = book_pdf.write(small, progress=False)
    page = PdfReader(path).pages[4]
    assert page.extract_text().count("column") == 40
    ends = [x for text, x, _ in placed(page) if "column" in text]
    assert 150 < max(ends) < 190


def test_what_fits_a_page_badly(tmp_path: Path) -> None:
    toc = "format: jb-book\nroot: index\n"
    path, _ = book_pdf.write(built(tmp_path, toc, {"index": LAB}), progress=False)
    reader = PdfReader(path)
    assert astray(reader) == []
    pages = list(reader.pages)[2:]
    texts = [page.extract_text() for page in pages]
    assert "line_020 = 1" in texts[0], "the code does not begin beside the text before it"
    assert sum(text.count("line_") for text in texts) == 120
    assert all(body_of(page) for page in pages), "a page is blank"
    assert "120 min" in "".join(texts)

    [wide] = [page for page in pages if page.mediabox.width > page.mediabox.height]
    assert "wide drawing" in wide.extract_text()
    assert "a sound, in the book on screen" in "".join(texts)
    assert sum(text.count("within") for text in texts) == 60
    for i in range(20):
        [number] = [n for n, text in enumerate(texts) if f"Above {i}." in text]
        assert f"Below {i}." in texts[number], "a heading is alone at the foot of a page"
        assert f"Words {i}." in texts[number], "a heading is alone at the foot of a page"


@pytest.mark.browser
def test_pages_of_ours_keep_to_the_paper(site: Site, tmp_path: Path) -> None:
    """A chapter with maths, tables and figures, folded answers, and a lab with long code."""
    pages = ["chapters/certified-robustness", "chapters/questions/data-access"]
    pages += ["labs/02-train-under-a-privacy-budget"]
    shutil.copy(ROOT / "_config.yml", tmp_path)
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": page} for page in pages]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    (tmp_path / "built").mkdir()
    (tmp_path / "built/html").symlink_to(site.html)
    path, count = book_pdf.write(tmp_path, tmp_path / "built", progress=False)
    reader = PdfReader(path)
    sheets = [placed(sheet) for sheet in reader.pages]
    assert count > 20
    for number, sheet in enumerate(sheets):
        between = [text for text, _, y in sheet if 20 < y < 275]
        assert between or len(reader.pages[number].images), f"page {number} is blank"
        for text, x, _ in sheet:
            assert 19 < x < 191, f"page {number}: {text!r} begins at {x:.0f} mm"
    running = [" ".join(text for text, _, y in sheet if y > 275) for sheet in sheets]
    for number in range(count - 1):
        if running[number] == running[number + 1] and not reader.pages[number].images:
            lowest = min(y for _, _, y in sheets[number] if y > 20)
            assert lowest < 235, f"page {number} is nearly empty, and its chapter goes on"
    words = " ".join(text for sheet in sheets for text, _, _ in sheet)
    assert not re.search(r"(Show|Hide) code cell|Search the book|Click to", words)
    assert words.count("Model answer") > 10
    chapters = [title for level, title, _ in bookmarks(reader) if level == 0]
    assert len(chapters) == 2 + len(pages)  # the contents, the front page
    targets = [target for sheet in reader.pages for target in links(sheet)]
    assert astray(reader) == []
    assert not [target for target in targets if isinstance(target, str) and "127.0.0.1" in target]


def test_a_book_that_is_not_built_or_is_older_than_its_contents_is_named(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small / "build/book/html/chapters/two.html").unlink()
    with pytest.raises(CourseError, match=r"lacks chapters/two of _toc\.yml.*edgesec book build"):
        book_pdf.write(small)
    (small / "build/book/html/index.html").unlink()
    (small / "solutions").mkdir()
    monkeypatch.chdir(small)
    result = CliRunner().invoke(command, ["pdf"])
    assert isinstance(result.exception, CourseError)
    assert "holds no book yet" in str(result.exception)


def test_a_machine_without_chromium_is_told_what_to_install(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CourseError, match="apt-get install chromium"):
        book_pdf.write(small, progress=False)


def test_every_page_of_the_contents_is_printed_once_but_the_reference() -> None:
    entries = book_pdf.printed(ROOT)
    named = [
        line.split("file:")[1].strip() for line in (ROOT / "_toc.yml").open() if "file:" in line
    ]
    rest = [name for name in named if not re.match("chapters/api/(?!index$)", name)]
    assert [entry.file for entry in entries] == ["index", *rest]
    assert len(rest) < len(named)
    levels = {entry.file: entry.level for entry in entries}
    assert levels["chapters/questions/index"] + 1 == levels["chapters/questions/robustness"]
