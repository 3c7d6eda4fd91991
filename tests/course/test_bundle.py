"""``helpers.course.bundle``: what a machine without a network gets."""

from __future__ import annotations

import hashlib
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from helpers.course import bundle
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]
PAGES = {
    "index.html": '<a href="chapters/one.html#top">one</a><img src="_static/logo.svg">',
    "chapters/one.html": '<p id="top"><a href="../index.html">back</a></p>',
    "_static/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one folder of a bundle, unpacked; its book has two pages, and a paper form."""
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    for name, text in PAGES.items():
        path = built / "html" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (built / "book.pdf").write_bytes(b"%PDF-1.4")
    target = built / "course.zip"
    assert bundle.write(ROOT, target, out=built, progress=False) == target
    with zipfile.ZipFile(target) as archive:
        archive.extractall(unpacked)
    [top] = unpacked.iterdir()
    return top


def test_a_bundle_holds_book_notebooks_package_and_words(top: Path) -> None:
    assert {str(p.relative_to(top / "book")) for p in (top / "book").rglob("*.*")} == set(PAGES)
    assert (top / "book.pdf").is_file()
    labs = {path.name for path in (ROOT / "labs").glob("*.ipynb")}
    assert {path.name for path in (top / "labs").iterdir()} == labs
    assert (top / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()

    [wheel] = (top / "wheels").iterdir()
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = [
        path.relative_to(ROOT)
        for path in (ROOT / "helpers").rglob("*")
        if path.suffix in {".py", ".yaml", ".npz", ".js", ".html", ".css", ".txt", ".typed"}
    ]
    assert {str(path) for path in wanted} <= packed
    assert all(name.startswith(("helpers/", "edge_ml_security-")) for name in packed)

    words = (top / "README.txt").read_text()
    assert "$" not in words
    for named in re.findall(r"^ {4}([\w.-]+)/? {2,}", words, re.MULTILINE):
        assert (top / named).exists(), f"README.txt names {named}, which is not there"
    assert not (top / "wheels.txt").exists()
    assert "needs a network" in words


def test_the_installer_is_a_shell_script_that_names_what_is_missing(top: Path) -> None:
    assert subprocess.run(["sh", "-n", str(top / "install.sh")]).returncode == 0
    done = subprocess.run(
        ["sh", str(top / "install.sh")],
        env={"PATH": "/usr/bin:/bin", "PYTHON": "no-such-python"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
    assert not (top / ".venv").exists()


def test_the_list_of_wheels_pins_each_by_its_own_hash(tmp_path: Path) -> None:
    wheel = tmp_path / "two_words-1.2-py3-none-any.whl"
    wheel.write_bytes(b"x" * 1000)
    digest = hashlib.sha256(b"x" * 1000).hexdigest()
    assert bundle.wheel_list([wheel]).splitlines()[1:] == [
        "# two_words-1.2-py3-none-any.whl, 1,000 bytes",
        f"two-words==1.2 --hash=sha256:{digest}",
    ]


def test_a_book_that_is_not_built_cannot_be_bundled(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="edgesec book build"):
        bundle.write(ROOT, out=tmp_path)
