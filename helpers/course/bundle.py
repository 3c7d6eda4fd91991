"""The course as one file, for a room without a network: book, notebooks, package, wheels.

The file is a zip with one folder. ``install.sh`` in it makes an environment from the folder's own
wheels if they were put in, and ``wheels.txt`` then names each with its hash and size.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import IO

from tqdm import tqdm

from helpers import __version__
from helpers._files import write_atomically
from helpers.course import address, book, contents, pins
from helpers.errors import CourseError

NAME = "edge-ml-security"
# What of the repository goes in as it is.
_COPIED = ("requirements.txt", "LICENSE", "LICENSE-TEXT", "CITATION.cff")
# What makes the package.
_PACKAGE = ("pyproject.toml", "README.md", "LICENSE", "helpers")
_PACKED = {".whl", ".png", ".pdf", ".npz", ".woff2", ".jpg", ".zip"}


def write(
    root: Path,
    target: Path | None = None,
    wheels: bool = False,
    out: Path | None = None,
    progress: bool = True,
) -> Path:
    """Write the bundle.

    Parameters
    ----------
    root : Path
        The repository.
    target : Path, optional
        The zip; ``edge-ml-security-VERSION.zip`` beside the built book by default.
    wheels : bool
        Whether to put every package of the lock in as a wheel for this platform. This asks the
        package index for about 600 MB. What was fetched once is kept beside the book, so that a
        second bundle, or one after a broken download, fetches the rest only.
    out : Path, optional
        The folder the book was built in; ``build/book`` under `root` by default.
    progress : bool
        Whether to show progress bars.

    Raises
    ------
    CourseError
        If the book has not been built, a package cannot be had, or a part is missing.
    """
    root = root.resolve()
    layout = book.built(root, out)
    target = target or layout.out / f"{NAME}-{__version__}.zip"
    with tempfile.TemporaryDirectory() as folder:
        own = build_wheel(root, Path(folder))
        packages = fetch_wheels(root, layout.out / "wheels", progress) if wheels else []
        texts = _texts(root, [own, *packages] if wheels else [], (layout.out / "book.pdf").exists())
        parts = list(_parts(root, layout, [own, *packages]))
        write_atomically(target, lambda file: _pack(file, parts, texts, progress))
    return target


def _parts(root: Path, layout: book.Layout, wheels: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file with its name in the bundle."""
    for path in sorted(layout.html.rglob("*")):
        if path.is_file():
            yield path, f"book/{path.relative_to(layout.html).as_posix()}"
    if (layout.out / "book.pdf").exists():
        yield layout.out / "book.pdf", "book.pdf"
    for path in sorted((root / "labs").glob("*.ipynb")):
        yield path, f"labs/{path.name}"
    for path in wheels:
        yield path, f"wheels/{path.name}"
    for name in _COPIED:
        if not (root / name).is_file():
            raise CourseError(f"The bundle needs {name}, and {root} does not hold it.")
        yield root / name, name


def _pack(
    file: IO[bytes], parts: list[tuple[Path, str]], texts: dict[str, str], progress: bool
) -> None:
    """Write the zip; what is compressed already is stored as it is."""
    top = f"{NAME}-{__version__}"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(f"{top}/{name}")
            entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            bundle.writestr(entry, text, zipfile.ZIP_DEFLATED)
        for path, name in tqdm(parts, desc="packing", unit="file", disable=not progress):
            stored = path.suffix in _PACKED
            kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            bundle.write(path, f"{top}/{name}", kind)


def _texts(root: Path, wheels: list[Path], has_pdf: bool) -> dict[str, str]:
    """Return the files that are written for the bundle, by name."""
    title = contents.read_yaml(root / "_config.yml")["title"]
    pdf = "    book.pdf is the same for paper or a tablet, with bookmarks.\n" if has_pdf else ""
    words = {
        "how": " from wheels/ alone" if wheels else ", and needs a network for it once (600 MB)",
        "wheels": "all packages; wheels.txt names each with its hash and size"
        if wheels
        else "the course's own package, helpers",
    }
    folder = files("helpers.course") / "templates"
    readme = Template((folder / "bundle_readme.txt").read_text(encoding="utf-8")).substitute(
        title=title,
        underline="=" * len(title),
        pdf=pdf,
        address=address.repository(root).book_url,
        **words,
    )
    texts = {
        "README.txt": readme,
        "install.sh": (folder / "bundle_install.txt").read_text(encoding="utf-8"),
    }
    return texts | ({"wheels.txt": wheel_list(wheels)} if wheels else {})


# --- wheels -------------------------------------------------------------------------------------


def wheel_list(wheels: list[Path]) -> str:
    """Return a requirements file that pins each wheel by its own hash, with its size beside it."""
    total = sum(path.stat().st_size for path in wheels)
    lines = [f"# {len(wheels)} wheels, {total / 1e6:.0f} MB, for Python 3.11 on Linux x86-64"]
    for path in sorted(wheels, key=lambda path: path.name.lower()):
        name, version = path.name.split("-")[:2]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"# {path.name}, {path.stat().st_size:,} bytes")
        lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}")
    return "\n".join(lines) + "\n"


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the course's own wheel into `folder`, from a copy, so that no leftover gets in.

    Raises
    ------
    CourseError
        If setuptools fails.
    """
    with tempfile.TemporaryDirectory() as copy:
        for name in _PACKAGE:
            source, place = root / name, Path(copy, name)
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place)
        code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
        command = [sys.executable, "-c", code, str(folder)]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
        if done.returncode:
            raise CourseError(f"The package could not be built:\n{done.stderr.strip()[-1000:]}")
    return next(folder.glob("*.whl"))


def fetch_wheels(root: Path, folder: Path, progress: bool) -> list[Path]:
    """Bring every package of the lock into `folder`, as a wheel for this platform.

    A package that is published as source alone is built. What the lock no longer names is removed.

    Raises
    ------
    CourseError
        If pip cannot get or build one.
    """
    lock = root / "requirements.txt"
    locked = pins.read(lock)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)  # this environment need not have a pip of its own
        command = [f"{scratch}/bin/python", "-m", "pip", "--disable-pip-version-check", "wheel"]
        command += ["--no-deps", "--require-hashes", "--find-links", str(folder)]
        command += ["--wheel-dir", str(folder), "-r", str(lock)]
        _follow(command, len(locked), progress)
    wanted = {(pins.canonical(name), version) for name, version in locked.items()}
    found = {
        (pins.canonical(path.name.split("-")[0]), path.name.split("-")[1]): path
        for path in sorted(folder.glob("*.whl"))
    }
    for key in found.keys() - wanted:
        found.pop(key).unlink()
    if missing := sorted(name for name, version in wanted - found.keys()):
        raise CourseError(f"pip ended well, but brought no wheel of {', '.join(missing)}.")
    return list(found.values())


def _follow(command: list[str], count: int, progress: bool) -> None:
    """Run pip and count the packages as it comes to them."""
    environment = os.environ | {"PIP_PROGRESS_BAR": "off"}
    lines: list[str] = []
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
        tqdm(total=count, desc="wheels", unit="package", disable=not progress) as bar,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Collecting"):
                bar.update()
                bar.set_postfix_str(line.split()[1].partition("==")[0])
    if process.returncode:
        raise CourseError(f"pip could not fetch the packages:\n{''.join(lines[-8:]).strip()}")
