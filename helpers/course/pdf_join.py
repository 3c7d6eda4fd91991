"""Join printed pages to one PDF: links that lead inside it, bookmarks, page labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple
from urllib.parse import unquote

from pypdf import PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    Fit,
    FloatObject,
    IndirectObject,
    NameObject,
    NullObject,
    TextStringObject,
)

# Key of what stands above the level 0 of all headings: the part, or nothing.
_PART = -1

# The margin above a page, from print.css, in points. Chromium forgets it in the place of a name,
# which therefore lies too high by as much.
_MARGIN = 22 / 25.4 * 72
_AIR = 6.0  # points above a heading to which a bookmark leads

# (address, name of a place in it) -> page of the whole, height on it
Places = dict[tuple[str, str], tuple[int, float]]


class Heading(NamedTuple):
    """A heading of one printed document.

    Attributes
    ----------
    level
        0 for the outermost.
    title
        Its words.
    name
        Of the place in the document where it stands.
    """

    level: int
    title: str
    name: str


@dataclass(frozen=True)
class Document:
    """One page of the book as Chromium printed it.

    Attributes
    ----------
    address
        Where the book has it, such as ``chapters/routes.html``; links name it.
    pdf
        The printed file, in which every place that is linked to has a name.
    headings
        What gets a bookmark, in order.
    level
        How deep its bookmark stands: 0 beside the parts, 1 within one.
    part
        Title of the part that begins with it, or empty.
    numbered
        Whether it has room for the numbers of other pages.
    """

    address: str
    pdf: bytes
    headings: tuple[Heading, ...] = ()
    level: int = 0
    part: str = ""
    numbered: bool = False

    def reader(self) -> PdfReader:
        """Open the file."""
        return PdfReader(BytesIO(self.pdf))


def places(documents: Sequence[Document]) -> Places:
    """Return where every name of some documents is, once they stand behind one another."""
    found: Places = {}
    start = 0
    for document in documents:
        reader = document.reader()
        found[document.address, ""] = (start, float(reader.pages[0].mediabox.top))
        for name, place in reader.named_destinations.items():
            index = start + (reader.get_destination_page_number(place) or 0)
            height = float(place.top or 0) - _MARGIN + _AIR
            found[document.address, unquote(name.lstrip("/"))] = (index, height)
        start += len(reader.pages)
    return found


def join(
    documents: Sequence[Document],
    front: int,
    base: str,
    published: str,
    facts: dict[str, str],
) -> PdfWriter:
    """Put documents behind one another.

    Parameters
    ----------
    documents : sequence of Document
        In the order of the book.
    front : int
        How many of them are before page 1; their pages are counted i, ii, iii.
    base : str
        Address from which they were printed. A link to one of the documents becomes a link within
        the PDF, any other link there leads to `published` instead.
    published : str
        Address of the published book, with a slash at its end.
    facts : dict of str to str
        The PDF's metadata, such as ``{"/Title": "A book"}``.
    """
    writer = PdfWriter()
    known = places(documents)
    starts = []
    parents: dict[int, IndirectObject | None] = {_PART: None}
    for document in documents:
        start = len(writer.pages)
        starts.append(start)
        for page in document.reader().pages:
            writer.add_page(page)
        if document.part:
            part = writer.add_outline_item(
                title=document.part, page_number=start, bold=True, is_open=False
            )
            parents = {_PART: part}
        elif document.level == 0:
            parents = {_PART: None}
        _bookmark(writer, document, known, parents)
    for document, first, last in zip(documents, starts, [*starts[1:], None], strict=True):
        for link in _links(writer, first, last):
            _redirect(writer, link, document.address, known, (base, published))
    if starts[front]:
        writer.set_page_label(0, starts[front] - 1, PageLabelStyle.LOWERCASE_ROMAN)
    writer.set_page_label(starts[front], len(writer.pages) - 1, PageLabelStyle.DECIMAL)
    writer.add_metadata(facts)
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.page_mode = "/UseOutlines"
    writer.create_viewer_preferences().display_doctitle = True  # type: ignore[assignment]
    writer.compress_identical_objects()
    return writer


def _bookmark(
    writer: PdfWriter,
    document: Document,
    known: Places,
    parents: dict[int, IndirectObject | None],
) -> None:
    """Add the headings of one document below the nearest that stands above them."""
    for heading in document.headings:
        own = document.level + heading.level
        page, top = known.get((document.address, heading.name)) or known[document.address, ""]
        for deeper in [level for level in parents if level >= own and level != _PART]:
            del parents[deeper]
        parents[own] = writer.add_outline_item(
            title=heading.title,
            page_number=page,
            parent=parents[max(parents)],
            fit=Fit.xyz(left=0, top=top),
            is_open=False,
        )


def _links(writer: PdfWriter, first: int, last: int | None) -> Iterator[DictionaryObject]:
    """Yield the links on some pages."""
    for page in writer.pages[first:last]:
        for reference in page.get("/Annots", ()):
            link = reference.get_object()
            if link.get("/Subtype") == "/Link":
                yield link


def _redirect(
    writer: PdfWriter,
    link: DictionaryObject,
    address: str,
    known: Places,
    addresses: tuple[str, str],
) -> None:
    """Let a link of the document at `address` lead to a page of this PDF, or to the web."""
    base, published = addresses
    if "/Dest" in link:  # a name, which was unique in its document only
        target, fragment = address, unquote(str(link["/Dest"]).lstrip("/"))
    else:
        uri = str(link.get("/A", {}).get("/URI", ""))
        if not uri.startswith(base):
            return
        target, _, fragment = uri.removeprefix(base).partition("#")
        fragment = unquote(fragment)
    place = known.get((target, fragment)) or known.get((target, ""))
    link.pop("/A", None)
    link.pop("/Dest", None)
    if place is None:
        uri = f"{published}{target}" + (f"#{fragment}" if fragment else "")
        action = {"/Type": "/Action", "/S": "/URI"}
        found = DictionaryObject({NameObject(k): NameObject(v) for k, v in action.items()})
        found[NameObject("/URI")] = TextStringObject(uri)
        link[NameObject("/A")] = found
        return
    index, top = place
    page = writer.pages[index].indirect_reference
    parts = [page, NameObject("/XYZ"), NullObject(), FloatObject(top), NullObject()]
    link[NameObject("/Dest")] = ArrayObject(parts)
