"""Where the repository lives: its root on this disk, and its address on the web.

The address is written once, in ``_config.yml``; every link to the repository is derived here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from helpers.errors import CourseError

_GITHUB = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)")


@dataclass(frozen=True)
class Repository:
    """The repository on GitHub."""

    owner: str
    name: str
    branch: str

    @property
    def url(self) -> str:
        """Address of the repository's page, which is also what ``git clone`` takes."""
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def book_url(self) -> str:
        """Address at which GitHub Pages publishes the book, with a slash at its end."""
        return f"https://{self.owner}.github.io/{self.name}/"


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder, upwards from `start`, with ``_config.yml`` and ``solutions/``.

    Raises
    ------
    CourseError
        If there is none: the command was not called inside a clone of the repository.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_config.yml").is_file() and (folder / "solutions").is_dir():
            return folder
    raise CourseError(
        f"{start} is not inside a clone of the course (no folder above it has both _config.yml "
        "and solutions/); change into the clone first"
    )


def repository(root: Path) -> Repository:
    """Read the address from ``repository.url`` and ``repository.branch`` in ``_config.yml``.

    Raises
    ------
    CourseError
        If they are missing or the address is not a GitHub one.
    """
    path = root / "_config.yml"
    try:
        config = yaml.safe_load(path.read_text("utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise CourseError(f"{path} cannot be read: {error}") from None
    entry = config.get("repository") if isinstance(config, dict) else None
    entry = entry if isinstance(entry, dict) else {}
    match = _GITHUB.fullmatch(str(entry.get("url", "")).removesuffix("/").removesuffix(".git"))
    if match is None:
        raise CourseError(
            f"{path}: repository.url is {entry.get('url')!r}; "
            "it must look like https://github.com/OWNER/NAME"
        )
    branch = str(entry.get("branch", "main"))
    if not re.fullmatch(r"[\w][\w./-]*", branch):
        raise CourseError(f"{path}: repository.branch is {branch!r}, not a branch name")
    return Repository(match["owner"], match["name"], branch)


def colab_url(root: Path, path: str) -> str:
    """Return the address that opens a notebook of the repository in Colab."""
    repo = repository(root)
    return (
        f"https://colab.research.google.com/github/{repo.owner}/{repo.name}"
        f"/blob/{repo.branch}/{path}"
    )
