"""Let several processes read the pages, and see what each of them alone cannot.

Sphinx reads in parallel only if every extension says that it may, and what one process reads
another does not know: a name that two pages give is found when the processes are merged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx_proof.domain import ProofDomain

LOGGER = logging.getLogger(__name__)
# They say nothing themselves. The one acts when all pages are read, the other when all are written.
SAFE = ("sphinx_multitoc_numbering", "sphinx-mathjax-offline")


def vouch(app: Sphinx) -> None:
    """Say of the extensions that say nothing that pages may be read in parallel."""
    for name in SAFE:
        if name in app.extensions:
            app.extensions[name].parallel_read_safe = True


class Proofs(ProofDomain):
    """The domain of sphinx-proof, which says that it may be read in parallel and lacks the means.

    It keeps nothing itself; its list of proofs is in the environment, and merged there.
    """

    def merge_domaindata(self, docnames: list[str], otherdata: dict[str, Any]) -> None:
        """Do nothing."""


class Names:
    """Which page gives each label, equation and Python object that processes brought home."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, str], str] = {}

    def merge(
        self, app: Sphinx, env: BuildEnvironment, pages: Collection[str], other: BuildEnvironment
    ) -> None:
        """Warn of each name that these pages give and another one has given."""
        for kind, name, page in _given(other):
            first = self._pages.setdefault((kind, name), page) if page in pages else page
            if first != page:
                LOGGER.warning("duplicate %s %s, also in %s", kind, name, first, location=page)


def _given(env: BuildEnvironment) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the name and the page of all that a reference can name."""
    for name, (page, *_) in env.domaindata["std"]["labels"].items():
        yield "label", name, page
    for name, (page, _) in env.domaindata["math"]["objects"].items():
        yield "equation", name, page
    for name, entry in env.domaindata["py"]["objects"].items():
        if not entry.aliased:
            yield "object", name, entry.docname
    for name, proof in getattr(env, "proof_list", {}).items():
        yield "proof", name, proof["docname"]


def drop_unused(app: Sphinx, doctree: nodes.document) -> None:
    """Forget the listings of source code that no object of a page leads to.

    sphinx.ext.viewcode does when it is told of the next page, and in parallel it is told of all
    before any is read: listings of the standard library would come in, and wrong links back.
    """
    modules = getattr(app.env, "_viewcode_modules", {})
    for name in [name for name, entry in modules.items() if entry and not entry[2]]:
        del modules[name]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    app.setup_extension("sphinx_proof")
    app.add_domain(Proofs, override=True)
    app.connect("builder-inited", vouch)
    app.connect("env-merge-info", Names().merge)
    app.connect("doctree-read", drop_unused, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
