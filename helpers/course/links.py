"""Which external links of the built book lead nowhere."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.course import sphinx_process
from helpers.course.book import built
from helpers.errors import CourseError


def broken_links(root: Path, progress: bool = True) -> list[str]:
    """Return the external links of the built book that lead nowhere, each with its page and line.

    Nothing is executed: the pages are those that :func:`~helpers.course.book.build` read last.

    Parameters
    ----------
    root : Path
        The repository, its book in ``build/book``.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    CourseError
        If the book has not been built, or Sphinx cannot check it.
    """
    root = root.resolve()
    layout = built(root)
    found = layout.out / "links"
    command = ["-b", "linkcheck", "-D", "linkcheck_timeout=30", "-D", "linkcheck_anchors=0"]
    command += ["-d", str(layout.doctrees), str(layout.source), str(found)]
    if sphinx_process.run(root, layout.out / "links.log", command, progress) not in (0, 1):
        raise CourseError(f"Sphinx could not check the links; see {layout.out / 'links.log'}")
    lines = (found / "output.json").read_text(encoding="utf-8").splitlines()
    links = [json.loads(line) for line in lines]
    return [
        f"{link['filename']}:{link['lineno']}: {link['uri']} ({link['info']})"
        for link in links
        if link["status"] in ("broken", "timeout")
    ]
