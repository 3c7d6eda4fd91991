"""The book as one PDF: every page printed by Chromium, joined with a cover and a contents.

The pages are those of the built book, in the order of ``_toc.yml``. What makes them fit for paper
is ``_static/print.css`` and, for what a style sheet cannot do, ``print_page.js`` beside this file.

The reference of the package is not printed, only its first page: it is looked things up in, with a
search or an editor, and would be a third of the paper. Links into it lead to the published book.
"""

from __future__ import annotations

import html
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from helpers._files import write_atomically
from helpers.course import address, book, chromium, contents
from helpers.course.contents import Entry
from helpers.errors import CourseError

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from helpers.course.pdf_join import Document

# What a line of A4 holds between the margins of print.css, in CSS pixels: 170 mm.
_WIDTH = 642
_ON_SCREEN_ONLY = re.compile(r"chapters/api/(?!index$)")


def printed(root: Path) -> list[Entry]:
    """Return the pages of the table of contents that are printed, in order, the root first."""
    return [entry for entry in contents.entries(root) if not _ON_SCREEN_ONLY.match(entry.file)]


def write(root: Path, out: Path | None = None, progress: bool = True) -> tuple[Path, int]:
    """Print the built book to ``book.pdf`` beside its HTML.

    Parameters
    ----------
    root : Path
        The repository.
    out : Path, optional
        The folder the book was built in; ``build/book`` under `root` by default.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    path : Path
        The PDF.
    pages : int
        How many pages it has.

    Raises
    ------
    CourseError
        If the book has not been built or lacks a page of ``_toc.yml``, or there is no Chromium.
    """
    from helpers.course import pdf_join

    root = root.resolve()
    layout = book.built(root, out)
    config = contents.read_yaml(root / "_config.yml")
    toc = printed(root)
    _require(layout.html, toc)
    published = address.repository(root).book_url
    with book.serving(layout.html) as base, chromium.opened() as browser:
        tab = browser.new_page(viewport={"width": _WIDTH, "height": 1000}, color_scheme="light")
        tab.add_init_script("localStorage.setItem('mode', 'light')")
        tab.emulate_media(media="print")
        body = _print_pages(tab, base, toc, progress)
        front = [_print_cover(tab, base, config, published), _print_contents(tab, base, body)]
    facts = {"/Title": config["title"], "/Author": config.get("author", "")}
    writer = pdf_join.join([*front, *body], len(front), base, published, facts)
    target = layout.out / "book.pdf"
    write_atomically(target, writer.write)
    return target, len(writer.pages)


def _require(html_folder: Path, toc: list[Entry]) -> None:
    missing = [entry.file for entry in toc if not (html_folder / f"{entry.file}.html").is_file()]
    if missing:
        raise CourseError(
            f"The built book lacks {', '.join(missing)} of _toc.yml; it is older than that. "
            "Build it again:  edgesec book build"
        )


# --- printing ---------------------------------------------------------------------------------


def _print_pages(tab: Page, base: str, toc: list[Entry], progress: bool) -> list[Document]:
    """Print every page of the book, each counting on from the one before.

    Those with lists that name the page of an answer are done once more when it is known.
    """
    from helpers.course.pdf_join import places

    done: list[Document] = []
    count, counts = 0, []
    with tqdm(toc, desc="printing", unit="page", disable=not progress) as bar:
        for entry in bar:
            bar.set_postfix_str(entry.file)
            counts.append(count)
            done.append(_print_entry(tab, base, entry, count))
            count += len(done[-1].reader().pages)
    numbers = {
        base + where + (f"#{name}" if name else ""): index + 1
        for (where, name), (index, _) in places(done).items()
    }
    again = [i for i, document in enumerate(done) if document.numbered]
    for i in tqdm(again, desc="numbering", unit="page", disable=not progress):
        done[i] = _print_entry(tab, base, toc[i], counts[i], numbers)
    return done


def _print_entry(
    tab: Page, base: str, entry: Entry, count: int, numbers: dict[str, int] | None = None
) -> Document:
    where = f"{entry.file}.html"
    answer = tab.goto(base + where, wait_until="load")
    if answer is None or not answer.ok:
        raise CourseError(f"Chromium cannot open {where} of the built book.")
    document = _print(tab, where, count=count, numbers=numbers)
    return replace(document, level=entry.level, part=entry.part)


def _print(
    tab: Page, where: str, style: str = "", count: int = 0, numbers: dict[str, int] | None = None
) -> Document:
    """Print what the tab shows; its first page comes after `count`."""
    from helpers.course.pdf_join import Document, Heading

    script = (files("helpers.course") / "print_page.js").read_text(encoding="utf-8")
    found = tab.evaluate(script, numbers or {})
    headings = tuple(Heading(*heading) for heading in found["headings"])
    if headings and not style:
        style = f"@page {{ @top-left {{ content: {_quoted(headings[0].title)} }} }}"
    tab.add_style_tag(content=f"{style} html {{ counter-reset: page {count}; }}")
    pdf = tab.pdf(prefer_css_page_size=True, print_background=True)
    return Document(where, pdf, headings, numbered=found["numbered"])


def _quoted(text: str) -> str:
    """Return a text as a CSS string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


# --- what the HTML does not have ----------------------------------------------------------------

_FRONT = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><base href="{base}">
<link rel="stylesheet" href="_static/print.css"><style>
body {{ font-family: var(--pst-font-family-base); color: #111; }}
.cover {{ text-align: center; padding-top: 55mm; }}
.cover img {{ width: 55mm; }}
.cover p.title {{ font-size: 30pt; line-height: 1.2; margin: 12mm 0; }}
.cover p.title {{ color: #0b5f78; text-wrap: balance; }}
.cover p.licence {{ font-size: 9pt; margin-top: 60mm; }}
.line {{ display: flex; align-items: last baseline; gap: 2mm; margin: 1mm 0; }}
.line a {{ color: inherit; text-decoration: none; }}
.line {{ break-inside: avoid; }}
.line i {{ flex: 1; border-bottom: 1px dotted #4d5661; min-width: 6mm; }}
.part {{ font-weight: 600; color: #0b5f78; margin: 5mm 0 1mm; break-after: avoid; }}
</style></head><body>{body}</body></html>"""


def _print_cover(tab: Page, base: str, config: dict[str, Any], published: str) -> Document:
    title, author = html.escape(config["title"]), html.escape(config.get("author", ""))
    logo = f'<img src="{html.escape(config["logo"])}" alt="">' if config.get("logo") else ""
    body = (
        f'<div class="cover">{logo}<p class="title">{title}</p><p>{author}</p>'
        f'<p>{config.get("copyright", "")}</p><p><a href="{published}">{published}</a></p>'
        f'<p class="licence">{config.get("html", {}).get("extra_footer", "")}</p></div>'
    )
    tab.set_content(_FRONT.format(base=base, body=body))
    return _print(tab, "", "@page { @bottom-center { content: none } }")


def _print_contents(tab: Page, base: str, body: list[Document]) -> Document:
    """Print the contents: parts and pages, each with its number and a link."""
    lines, count = ['<section id="contents"><h1>Contents</h1>'], 1
    for document in body:
        if document.part:
            lines.append(f'<p class="part">{html.escape(document.part)}</p>')
        title = html.escape(document.headings[0].title if document.headings else document.address)
        indent = f"margin-left: {6 * max(document.level - 1, 0)}mm"
        link = f'<a href="{document.address}">{title}</a>'
        lines.append(f'<div class="line" style="{indent}">{link}<i></i><span>{count}</span></div>')
        count += len(document.reader().pages)
    tab.set_content(_FRONT.format(base=base, body="".join(lines) + "</section>"))
    roman = "@page { @bottom-center { content: counter(page, lower-roman) } }"
    return _print(tab, "contents", roman, count=1)
