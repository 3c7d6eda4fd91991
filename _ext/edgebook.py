"""What this book asks of Sphinx beyond stock Jupyter Book.

- ``{repo}`` and ``{colab}``: links derived from the repository address in ``_config.yml``
- ``{inline-svg}``: a drawing inside the page, so that it follows the light or dark theme
- ``{room}``: the API reference of one room of ``helpers``
- Colab buttons on labs only; a lab's download button gives the clean learner notebook
- the theme's accessibility defects, put right in the finished pages
- its icons drawn in the pages, for which the theme has each page run 1.5 MB of script
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from bs4 import BeautifulSoup, NavigableString, Tag
from docutils import nodes
from docutils.statemachine import StringList
from pybtex.plugin import find_plugin, register_plugin
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging, parallel
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import nested_parse_with_titles

from helpers.course import address

LOGGER = logging.getLogger(__name__)
MENDED = "<!-- mended -->"
NAVIGATION = re.compile(r'<nav\b[^>]*\bclass="bd-links\b.*?</nav>', re.DOTALL)
OPTION = re.compile(r"(?<!\S)(--?\w[\w-]*)")
FAMILIES = {"fas": "fas", "fa-solid": "fas", "fab": "fab", "fa-brands": "fab"}
ICON = re.compile(r"<(i|span)\b([^<>]*)></\1>")
ICON_STYLE = """<style>
svg:not(:root).svg-inline--fa { overflow: visible; box-sizing: content-box }
.svg-inline--fa { display: inline-block; height: 1em; vertical-align: -.125em }
.svg-inline--fa.fa-lg { vertical-align: -.2em }
</style>
"""
ICON_SCRIPTS = re.compile(
    r"<script [^>]*/fontawesome/[^>]*></script>\n?|<link [^>]*/webfonts/[^>]*>\n?"
)
TAKEN_OUT = re.compile(rf"<pre\b.*?</pre>|{NAVIGATION.pattern}", re.DOTALL)


class RepoLink(SphinxRole):
    """``{repo}`text <path>` `` links to a file of the repository; an empty path to its front."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link."""
        text, path = _text_and_target(self.text)
        repository = address.repository(Path(self.env.srcdir))
        url = f"{repository.url}/blob/{repository.branch}/{path}" if path else repository.url
        return [nodes.reference(self.rawtext, text, refuri=url)], []


class ColabLink(SphinxRole):
    """``{colab}`text <labs/NN-name.ipynb>` `` opens that notebook in Colab."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the link."""
        text, path = _text_and_target(self.text)
        url = address.colab_url(Path(self.env.srcdir), path)
        return [nodes.reference(self.rawtext, text, refuri=url)], []


def _text_and_target(raw: str) -> tuple[str, str]:
    """Split ``text <target>``."""
    found = re.fullmatch(r"(.+?)\s*<([^<>]*)>", raw, flags=re.DOTALL)
    return (found[1], found[2]) if found else (raw, "")


class InlineSvg(SphinxDirective):
    """Put an SVG file into the page itself, where it takes the colours of the theme."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the drawing as raw HTML."""
        path = Path(self.env.srcdir, self.arguments[0])
        self.env.note_dependency(str(path))
        svg = path.read_text(encoding="utf-8")
        return [nodes.raw("", f'<div class="drawing">{svg}</div>', format="html")]


class Room(SphinxDirective):
    """The reference of one room: what it exports, and the modules where those names live."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the room's reference, built by autodoc."""
        room = f"helpers.{self.arguments[0]}"
        try:
            with mock(self.config.autodoc_mock_imports):
                package = importlib.import_module(room)
                homes = _homes(package)
        except Exception as error:  # whatever a broken module raises, name the module
            where = (self.env.docname, self.lineno)
            LOGGER.warning("room %s cannot be imported: %r", room, error, location=where)
            return []
        lines = [f".. automodule:: {room}", *([] if homes else ["   :members:"]), ""]
        if homes:
            links = [_link(name, home) for home, names in homes.items() for name in names]
            lines += [f"From ``{room}`` import: {', '.join(links)}.", ""]
        for home in homes:
            if home.count(".") > room.count(".") + 1:
                continue  # a room inside this one, which has a reference of its own
            lines += [home, "-" * len(home), "", f".. automodule:: {home}", "   :members:", ""]
        container = nodes.section()
        container.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, source=room), container)
        return container.children


def _homes(package: ModuleType) -> dict[str, list[str]]:
    """Return the modules that a package exports or takes its exports from, with those names.

    A package without modules of its own that exports nothing has no entries: it is its own home.
    """
    homes: dict[str, list[str]] = {}
    for name in getattr(package, "__all__", []):
        value = getattr(package, name)
        home = value.__name__ if isinstance(value, ModuleType) else _home_of(package, name)
        homes.setdefault(home, []).append(name)
    homes.pop(package.__name__, None)
    return dict(sorted(homes.items()))


def _home_of(package: ModuleType, name: str) -> str:
    """Return the module that defines an exported name; a constant carries no note of its own."""
    home = getattr(getattr(package, name), "__module__", None)
    if isinstance(home, str) and home.startswith("helpers."):
        return home
    loaded = [key for key in sys.modules if key.startswith(f"{package.__name__}.")]
    return next(key for key in loaded if hasattr(sys.modules[key], name))


def _link(name: str, home: str) -> str:
    """Return a reference to an exported name."""
    return (
        f":py:mod:`{name} <{home}>`"
        if home.endswith(f".{name}")
        else f":py:obj:`{name} <{home}.{name}>`"
    )


def resolve_reference(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.Element
) -> nodes.Node | None:
    """Link ``helpers.data.load`` to where its module defines it; leave inner names as plain text.

    A name that does not exist stays unresolved, and so fails the build.
    """
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not target.startswith("helpers."):
        return None
    with mock(app.config.autodoc_mock_imports):
        try:
            value = pkgutil.resolve_name(target)
        except (ImportError, AttributeError):
            return None
    home = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    found = env.get_domain("py").resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], home, node, contnode
    )
    return found or contnode


def choose_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Keep the Colab button on the labs, and that to a page's source where somebody wrote it.

    A chapter is no notebook in the repository, and a lab's notebook is generated.
    """
    unwanted = "source-file-button" if pagename.startswith("labs/") else "launch-buttons"
    context["header_buttons"] = _without(unwanted, context.get("header_buttons", []))


def _without(label: str, buttons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return buttons, and groups of them, without the one of that label."""
    return [
        {**button, "buttons": _without(label, button["buttons"])} if "buttons" in button else button
        for button in buttons
        if button.get("label") != label
    ]


class Contents:
    """The table of contents beside a page, without the work that leaves no trace in it.

    Sphinx copies all headings and Python objects of all pages for each page, to drop all but the
    titles then: they are dropped once. And pages that stand in no contents, the hundreds of
    listings of source code, share one for each folder. The theme asks for the contents as soon as
    it is told of a page.
    """

    def __init__(self) -> None:
        self._titles: dict[str, nodes.bullet_list] = {}
        self._rendered: dict[tuple[Any, ...], str] = {}

    def use(
        self, app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
    ) -> None:
        """Let a page take its contents from here."""
        if "toctree" not in context:
            return
        render = context["toctree"]

        def lean(**options: Any) -> str:
            if not options.get("titles_only"):
                return str(render(**options))
            if not self._titles:
                self._titles = {name: _top(toc) for name, toc in app.env.tocs.items()}
            whole, app.env.tocs = app.env.tocs, self._titles
            try:
                return str(render(**options))
            finally:
                app.env.tocs = whole

        def shared(**options: Any) -> str:
            key = (pagename.rpartition("/")[0], *sorted(options.items()))
            if key not in self._rendered:
                self._rendered[key] = lean(**options)
            return self._rendered[key]

        context["toctree"] = shared if doctree is None else lean


def _top(toc: nodes.bullet_list) -> nodes.bullet_list:
    """Return the title of a page and the pages under it, as Sphinx takes them from its contents."""
    top = toc.deepcopy()
    for entry in top.children:
        if isinstance(entry, nodes.Element) and len(entry) > 1:
            if below := list(entry.findall(addnodes.toctree)):
                entry[1][:] = below
            else:
                entry.pop(1)
    return top


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Give every page its accessible form, and every lab its clean notebook to download."""
    if exception is not None or app.builder.name != "html":
        return
    out = Path(app.outdir)
    [icons] = (out / "_static/vendor/fontawesome").glob("*/js/all.min.js")
    drawings = icons.read_text(encoding="utf-8")
    pages = [
        page
        for page in sorted(out.rglob("*.html"))
        if page.relative_to(out).parts[0] not in {"_static", "_sources"}
    ]
    kind = parallel.ParallelTasks if app.parallel > 1 else parallel.SerialTasks
    tasks: parallel.ParallelTasks | parallel.SerialTasks = kind(app.parallel)
    for chunk in parallel.make_chunks([str(page) for page in pages], app.parallel):
        tasks.add_task(partial(_mend_all, drawings), chunk)
    tasks.join()
    for notebook in (Path(app.srcdir) / "_learner").glob("*.ipynb"):
        target = out / "_sources" / "labs" / notebook.name
        if target.exists():
            shutil.copyfile(notebook, target)


def _mend_all(drawings: str, pages: list[str]) -> None:
    for page in pages:
        _mend(Path(page), drawings)


def _mend(page: Path, drawings: str) -> None:
    """Put right, in one finished page, what keeps some readers out; do nothing a second time.

    `drawings` is the script of the theme that draws its icons.
    """
    text = page.read_text(encoding="utf-8")
    if MENDED in text:
        return
    text = NAVIGATION.sub(lambda found: _name_toggles(found[0]), text)
    taken = TAKEN_OUT.findall(text)  # most of the book's markup, and nothing to mend in it any more
    soup = BeautifulSoup(TAKEN_OUT.sub("<pre></pre>", text), "html.parser")
    _name_landmark(soup)
    article = soup.select_one(".bd-article")
    if article:
        _mend_lists(article)
        _mend_tables(article, soup)
        _mend_lines(article, soup)
    _drop_thebe(soup)
    whole = re.sub("<pre></pre>", lambda _: taken.pop(0), str(soup))
    whole = _draw_icons(whole, drawings)
    page.write_text(f"{whole}\n{MENDED}\n", encoding="utf-8")


def _name_landmark(soup: BeautifulSoup) -> None:
    """Put the sidebar's logo inside a landmark."""
    sidebar = soup.find(class_="bd-sidebar-primary")
    if isinstance(sidebar, Tag):
        sidebar["role"] = "region"
        sidebar["aria-label"] = "Book"


@functools.cache  # the listings of a folder have one in common
def _name_toggles(navigation: str) -> str:
    """Say what each toggle of the sidebar opens."""
    soup = BeautifulSoup(navigation, "html.parser")
    for summary in soup.find_all("summary"):
        link = summary.find_previous("a")
        summary["aria-label"] = f"Pages under {link.get_text(strip=True)}" if link else "More pages"
    return str(soup)


def _mend_lists(article: Tag) -> None:
    """Free signatures from half-made definition lists, and the bibliography from retired roles."""
    for group in article.select("dt.sig dl"):
        group.name, group["class"] = "span", "sig-lines"
        for line in group.find_all("dd"):
            line.name, line["class"] = "span", "sig-line"
    for label in article.select("dl.field-list > dt"):
        if label.contents and str(label.contents[0]) == "Variables":  # napoleon's word for them
            label.contents[0].replace_with("Attributes")
    for entry in article.select(".citation-list, .citation"):
        del entry["role"]


def _mend_tables(article: Tag, soup: BeautifulSoup) -> None:
    """Make empty header cells plain cells, and let a wide table scroll inside its own box."""
    for cell in article.find_all("th"):
        if not cell.get_text(strip=True) and not cell.find("img"):
            cell.name = "td"
    for table in article.find_all("table"):
        if not table.find_parent(class_=["cell_output", "table-scroll"]):
            table.wrap(soup.new_tag("div", attrs={"class": "table-scroll"}))


def _mend_lines(article: Tag, soup: BeautifulSoup) -> None:
    """Keep a line from breaking inside ``--option``, and let a module's name break at its dots."""
    for text in article.find_all(string=OPTION):
        if text.find_parent("code"):
            for i, part in enumerate(OPTION.split(text)):  # every second is an option
                option = soup.new_tag("span", attrs={"class": "option"}, string=part)
                text.insert_before(option if i % 2 else part)
            text.extract()
    for heading in article.find_all(["h1", "h2", "h3"]):
        name = heading.contents[0] if heading.contents else None
        if isinstance(name, NavigableString) and re.fullmatch(r"helpers(\.\w+)+", name):
            first, *rest = str(name).split(".")
            name.replace_with(first)
            for i, part in enumerate(rest):
                heading.insert(2 * i + 1, soup.new_tag("wbr"))
                heading.insert(2 * i + 2, f".{part}")


def _draw_icons(page: str, drawings: str) -> str:
    """Put a page's icons in it as Font Awesome's script would, and take out what loads them."""
    page = ICON_SCRIPTS.sub("", page)
    page = page.replace("<link ", f"{ICON_STYLE}<link ", 1)  # what the theme says comes after
    return ICON.sub(lambda found: _icon(found[0], found[2], drawings), page)


@functools.cache  # a page has some twenty, and most have the same
def _icon(markup: str, attributes: str, drawings: str) -> str:
    """Return an icon's drawing, or the markup as it is where that names no icon."""
    given = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
    classes = given.pop("class", "").split()
    family = next((FAMILIES[name] for name in classes if name in FAMILIES), None)
    if family is None:
        return markup
    kept = [name for name in classes if name not in FAMILIES]
    icon = next(name[3:] for name in kept if name.startswith("fa-"))
    shapes = re.findall(
        rf'[{{,]"?{re.escape(icon)}"?:\[(\d+),(\d+),\[[^]]*\],"\w+","([^"]+)"\]', drawings
    )
    width, height, path = shapes[0 if family == "fab" else -1]  # brands, outlines, solid ones
    rest = "".join(f' {name}="{value}"' for name, value in given.items())
    return (
        f'<svg class="{" ".join([*kept, "svg-inline--fa"])}"{rest} aria-hidden="true"'
        f' focusable="false" role="img" viewBox="0 0 {width} {height}">'
        f'<path fill="currentColor" d="{path}"></path></svg>'
    )


def _drop_thebe(soup: BeautifulSoup) -> None:
    """Take out the scripts of sphinx-thebe, which Jupyter Book adds (even twice) when it is off."""
    for script in soup.find_all("script"):
        if "THEBE_JS_URL" in script.text or "thebe" in str(script.get("src", "")):
            script.decompose()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    app.add_config_value("edgebook_code", "", "env")  # a change re-reads every page
    app.add_role("repo", RepoLink())
    app.add_role("colab", ColabLink())
    app.add_directive("inline-svg", InlineSvg)
    app.add_directive("room", Room)
    app.connect("missing-reference", resolve_reference)
    # sphinxcontrib-bibtex looks it up for each citation, among all packages that are installed.
    backend = ("pybtex.backends", "plaintext")
    register_plugin(*backend, find_plugin(*backend), force=True)
    app.connect("html-page-context", choose_buttons, priority=502)
    app.connect("html-page-context", Contents().use, priority=400)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
