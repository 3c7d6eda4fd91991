"""What the cells of a chapter use to put tables and numbers on its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.display import HTML


def table(rows: Iterable[Mapping[str, Any]], escape: bool = True) -> HTML:
    """Show rows as a plain table.

    Parameters
    ----------
    rows
        A row each, from the names of the columns to what stands there.
    escape
        Whether ``<`` and ``&`` stand for themselves; else the cells are HTML.
    """
    import pandas as pd
    from IPython.display import HTML

    listed: list[Any] = list(rows)
    return HTML(pd.DataFrame(listed).to_html(index=False, border=0, escape=escape))


def note(**values: Any) -> None:
    """Keep values, by their names, for the sentences of the page, which show them by ``{glue}``."""
    from myst_nb import glue

    for name, value in values.items():
        glue(name, value, display=False)
