"""``helpers.course.book`` on books of two pages: what is run again, what fails, what it says."""

from __future__ import annotations

import os
import re
import shutil
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from helpers.cli.book import command
from helpers.course import book, sphinx_process
from helpers.course.links import broken_links
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]
CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  name: python3
  display_name: Python 3
---

# One

```{code-cell} ipython3
CODE
```
"""
CONFIG = """\
title: Small
only_build_toc_files: true
execute: {execute_notebooks: cache, run_in_temp: true, show_tb: true}
latex: {use_jupyterbook_latex: false}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with a cover, one chapter and a package of one module."""
    for folder in ("chapters", "_static", "_ext", "helpers"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_config.yml").write_text(CONFIG)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n- file: chapters/one\n"
    )
    (tmp_path / "index.md").write_text("# Cover\n")
    (tmp_path / "helpers" / "__init__.py").write_text("ANSWER = 41\n")
    return tmp_path


def chapter(root: Path, code: str) -> None:
    (root / "chapters" / "one.md").write_text(CHAPTER.replace("CODE", code))


def page(root: Path) -> str:
    return (root / "build/book/html/chapters/one.html").read_text()


def test_a_chapter_runs_again_when_helpers_changed_and_only_then(small: Path) -> None:
    runs = small / "runs"
    chapter(
        small,
        f"import helpers\nprint('answer:', helpers.ANSWER)\nopen({str(runs)!r}, 'a').write('x');",
    )
    book.build(small, progress=False)
    assert "answer: 41" in page(small)
    book.build(small, progress=False)
    assert runs.read_text() == "x"
    (small / "helpers" / "__init__.py").write_text("ANSWER = 42\n")
    book.build(small, progress=False)
    assert runs.read_text() == "xx"
    assert "answer: 42" in page(small)
    assert len(list((small / "build/book/cache").iterdir())) == 1


def test_a_cell_that_raises_fails_the_build_and_names_the_page_until_it_is_mended(
    small: Path,
) -> None:
    chapter(small, "raise RuntimeError('the sensor is unplugged')")
    for _ in range(2):  # Sphinx alone forgets a warning about a page it need not read again
        with pytest.raises(CourseError, match=r"chapters/one\.md") as caught:
            book.build(small, progress=False)
    assert "the sensor is unplugged" in str(caught.value)
    assert str(small) not in str(caught.value).split("Traceback")[0]
    chapter(small, "print('plugged in')")
    assert book.build(small, progress=False).is_file()


def test_two_builds_execute_a_chapter_once_and_sphinx_takes_what_they_made(small: Path) -> None:
    runs = small / "runs"
    chapter(small, f"import os\nprint('in', os.getcwd())\nopen({str(runs)!r}, 'a').write('x');")
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(book.execute_chapters, small) for _ in range(2)]
        assert [errors.result() for errors in done] == [{}, {}]
    book.build(small, progress=False)
    assert runs.read_text() == "x"
    assert f"in {small}" not in page(small)  # what a chapter writes does not end in the repository


def test_a_chapter_that_does_not_run_is_told_by_name(small: Path) -> None:
    chapter(small, "raise RuntimeError('the sensor is unplugged')")
    errors = book.execute_chapters(small)
    assert list(errors) == ["chapters/one"]
    assert "the sensor is unplugged" in errors["chapters/one"]
    chapter(small, "import os\nos.kill(os.getpid(), 9)")
    assert "DeadKernelError" in book.execute_chapters(small, ["chapters/one"])["chapters/one"]


def test_a_link_to_nowhere_fails_the_build_and_names_its_line(small: Path) -> None:
    chapter(small, "1")
    (small / "index.md").write_text("# Cover\n\n[gone](chapters/gone.md)\n")
    with pytest.raises(CourseError, match=r"index\.md:3: WARNING.*chapters/gone"):
        book.build(small, progress=False)


def test_the_chapter_template_builds_as_it_stands(small: Path) -> None:
    for name in ("_config.yml", "requirements.txt"):
        shutil.copy(ROOT / name, small)
    for name in ("_ext", "_static", "helpers"):
        shutil.rmtree(small / name)
        (small / name).symlink_to(ROOT / name)
    for name in ("references.bib", "references.md"):
        shutil.copy(ROOT / "chapters" / name, small / "chapters")
    template = (ROOT / "chapters/_template.md").read_text("utf-8")
    (small / "chapters/one.md").write_text(template)
    terms = sorted(set(re.findall(r"\{term\}`([^`]+)`", template)))
    words = "".join(f"{term}\n: A word.\n\n" for term in terms)
    (small / "chapters/words.md").write_text(f"# Words\n\n:::{{glossary}}\n{words}:::\n")
    with (small / "_toc.yml").open("a") as toc:
        toc.write("- file: chapters/references\n- file: chapters/words\n")
    book.build(small, progress=False)
    assert "<figcaption" in page(small)


def in_two_processes(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let Sphinx use two; it does for more than five pages, so add that many."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    (root / "chapters" / "one.md").write_text("# One\n")  # cells have names drawn at random
    shutil.copy(ROOT / "_config.yml", root)
    for name in ("_ext", "_static"):
        shutil.rmtree(root / name)
        (root / name).symlink_to(ROOT / name)
    (root / "chapters" / "references.bib").touch()
    pages = [root / "chapters" / f"page-{i}.md" for i in range(6)]
    for page in pages:
        page.write_text(f"# Page {page.stem}\n")
    with (root / "_toc.yml").open("a") as toc:
        toc.writelines(f"- file: chapters/{page.stem}\n" for page in pages)
    return pages


def test_pages_are_read_and_written_in_parallel_and_are_those_of_one_process(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = in_two_processes(small, monkeypatch)
    pages[1].write_text("# B\n\n(there)=\n## There\n\n```{exercise}\n:label: ex-b\nTry.\n```\n")
    pages[5].write_text("# F\n\nSee {ref}`there` and {ref}`ex-b`.\n\n$$x$$ (first)\n")
    found = []
    for cores in ({0, 1}, {0}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cores=cores: cores)
        html = book.build(small, small / "out", progress=False).parent
        log = (small / "out" / "sphinx.log").read_text()
        assert ("chapters/page-0 .. " in log) == (len(cores) == 2), log
        assert "doing serial" not in log
        files = sorted(path for path in html.rglob("*") if path.is_file())
        found.append({path.relative_to(html): path.read_bytes() for path in files})
        shutil.rmtree(small / "out")
    assert found[0] == found[1]


def test_an_extension_that_is_not_safe_in_parallel_fails_the_build(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_two_processes(small, monkeypatch)
    (small / "_ext").unlink()
    shutil.copytree(ROOT / "_ext", small / "_ext")
    (small / "_ext" / "silent.py").write_text("def setup(app): pass\n")
    config = (small / "_config.yml").read_text()
    (small / "_config.yml").write_text(config.replace("edgebook: _ext", "silent: _ext"))
    with pytest.raises(CourseError, match="silent extension does not declare"):
        book.build(small, progress=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(here)=\n## H", "label here"),
        ("$$x$$ (here)", "equation here"),
        ("```{exercise}\n:label: here\nTry.\n```", "label here"),
        ("```{prf:algorithm}\n:label: here\nTry.\n```", "proof here"),
        ("```{py:function} helpers.here\n```", "object helpers.here"),
    ],
)
def test_a_name_that_pages_of_two_processes_give_fails_the_build(
    small: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    pages = in_two_processes(small, monkeypatch)
    for page in (pages[0], pages[-1]):
        page.write_text(f"# {page.stem}\n\n{text}\n")
    with pytest.raises(CourseError, match=rf"chapters/page-\d\.md: WARNING: duplicate {told}"):
        book.build(small, progress=False)


def test_a_cell_that_raises_is_told_with_its_page_by_the_process_that_reads_it(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_two_processes(small, monkeypatch)
    chapter(small, "raise RuntimeError('the sensor is unplugged')")
    with pytest.raises(CourseError, match=r"chapters/one\.md.*WARNING") as caught:
        book.build(small, progress=False)
    assert "the sensor is unplugged" in str(caught.value)


def test_who_interrupts_sphinx_ends_the_processes_that_read_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "import os, time; print(os.fork(), flush=True); time.sleep(600)"
    log = tmp_path / "sphinx.log"

    def interrupted(*_: object) -> None:
        while len(log.read_text().split()) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(sphinx_process, "_START", start)
    monkeypatch.setattr(sphinx_process, "_follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sphinx_process.run(tmp_path, log, [], progress=False)
    child = max(map(int, log.read_text().split()))
    assert not psutil.pid_exists(child)


def test_a_page_that_changes_among_many_is_built_again_and_a_link_to_it_is_right(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = in_two_processes(small, monkeypatch)
    pages[0].write_text("# A\n\nSee {ref}`there`.\n")
    pages[5].write_text("# F\n\n(there)=\n## Old words\n")
    built = book.build(small, progress=False).parent / "chapters" / "page-0.html"
    assert "Old words" in built.read_text()
    pages[5].write_text("# F\n\n(there)=\n## New words\n")
    book.build(small, progress=False)
    assert "New words" in built.with_name("page-5.html").read_text()
    for page in pages:
        page.write_text(page.read_text() + "\nMore.\n")
    book.build(small, progress=False)
    assert "New words" in built.read_text()
    pages[5].write_text("# F\n")
    pages[0].write_text("# A\n\nSee {ref}`there`, which is gone.\n")
    with pytest.raises(CourseError, match=r"page-0\.md:3: WARNING: undefined label: .there"):
        book.build(small, progress=False)


def test_staging_touches_only_what_differs_and_drops_what_is_gone(small: Path) -> None:
    chapter(small, "1")
    target = small / "staged"
    book.stage(small, {}, target)
    before = (target / "index.md").stat().st_mtime_ns
    chapter(small, "2")
    (small / "chapters" / "two.md").write_text("# Two\n")
    book.stage(small, {}, target)
    assert (target / "index.md").stat().st_mtime_ns == before
    assert "2" in (target / "chapters/one.md").read_text()
    (small / "chapters" / "two.md").unlink()
    book.stage(small, {}, target)
    assert not (target / "chapters/two.md").exists()


def test_the_key_of_the_cache_follows_contents_and_names_but_not_byte_code(small: Path) -> None:
    module = small / "helpers" / "__init__.py"
    first = book.digest(small, ["helpers"])
    (small / "helpers" / "__pycache__").mkdir()
    (small / "helpers" / "__pycache__" / "x.pyc").write_bytes(b"1")
    assert book.digest(small, ["helpers"]) == first
    module.write_text("ANSWER = 42\n")
    second = book.digest(small, ["helpers"])
    module.rename(small / "helpers" / "other.py")
    assert len({first, second, book.digest(small, ["helpers"])}) == 3


def test_a_lab_of_the_contents_without_a_notebook_is_named(small: Path) -> None:
    with pytest.raises(CourseError, match=r"labs/01-gone\.ipynb is missing"):
        book.stage(ROOT, {"01-gone": small / "never"}, small / "staged")


@pytest.mark.parametrize(("name", "text"), [("_toc.yml", None), ("_config.yml", "a: [")])
def test_a_missing_or_broken_source_is_named(small: Path, name: str, text: str | None) -> None:
    chapter(small, "1")
    (small / name).unlink()
    if text:
        (small / name).write_text(text)
    with pytest.raises(CourseError, match=name):
        book.build(small, progress=False)


def test_the_book_is_served_on_the_loopback_interface_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hello")
    with book.serving(tmp_path) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url + "index.html") as answer:
            assert answer.read() == b"hello"
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        with pytest.raises(CourseError, match=str(port)), book.serving(tmp_path, port):
            pass


def test_serving_before_building_says_what_to_do(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small / "solutions").mkdir()
    monkeypatch.chdir(small)
    result = CliRunner().invoke(command, ["serve"])
    assert isinstance(result.exception, CourseError)
    assert "edgesec book build" in str(result.exception)


def test_a_dead_external_link_is_reported_with_its_page_and_a_live_one_is_not(
    small: Path, tmp_path: Path
) -> None:
    with book.serving(tmp_path) as url:
        text = f"# One\n\n[alive]({url}_config.yml)\n\n[dead]({url}never)\n"
        (small / "chapters" / "one.md").write_text(text)
        book.build(small, progress=False)
        [broken] = broken_links(small, progress=False)
    assert broken.startswith("chapters/one.md:5: ")
    assert f"{url}never" in broken


def test_links_of_a_book_that_is_not_built_cannot_be_checked(small: Path) -> None:
    with pytest.raises(CourseError, match="edgesec book build"):
        broken_links(small)
