"""A kernel forked from a process that did the imports is as one of a new interpreter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest

from helpers.course import chapters, run
from helpers.course.nursery import Nursery
from helpers.course.starting import Fresh, Starter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no nursery here")

PAGE = """\
---
kernelspec: {{name: python3, display_name: Python 3, language: python}}
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
---
# A page

```{{code-cell}} ipython3
{}
```
"""
# What a notebook can see of how its kernel came to be.
SEEN = """
import asyncio, gc, json, os, random, signal, sys, threading
import matplotlib, numpy, pandas
from tqdm.auto import tqdm
import helpers, tensorflow as tf
print(json.dumps({
    "names": sorted(n for n in list(globals()) if not n.startswith("_")),
    "argv": sys.argv[0].rpartition("/")[2].removesuffix(".py"),
    "path": sys.path,
    "helpers": helpers.__file__,
    "folder": os.listdir(),
    "own session": os.getsid(0) == os.getpid(),
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGPIPE)],
    "environment": {k: v for k, v in os.environ.items() if k.startswith(("TF_", "IPY", "MPL"))},
    "backend": matplotlib.get_backend(),
    "bar": f"{tqdm.__module__}.{tqdm.__name__}",
    "jax": "jax" in sys.modules,
    "sum": float(tf.reduce_sum(tf.random.Generator.from_seed(3).normal([9]))),
    "garbage": gc.get_threshold()[0],
    "threads": sorted(type(t).__name__ for t in threading.enumerate()),
    "columns": pandas.get_option("display.max_columns"),
    "log": [(h.stream is sys.stdout, h.level) for h in tf.get_logger().handlers],
    "logs from": tf.get_logger().level,
    "loops": asyncio.get_running_loop().is_running(),
}))
"""
DRAWN = """
import random, uuid, numpy, tempfile
print(random.random(), numpy.random.rand(), uuid.uuid4(), tempfile.mktemp())
"""
SLEEPS = "import os, pathlib, time; pathlib.Path('{}').write_text(str(os.getpid())); time.sleep(60)"
FIGURE = """
import matplotlib.pyplot as plt
plt.plot([1, 2])
"""


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(run.environment(tmp_path_factory.mktemp("nursery"))) as nursery:
        yield nursery


def executed(root: Path, code: str, starter: Starter) -> list[nbformat.NotebookNode]:
    """Return the outputs of a chapter with one cell."""
    from jupyter_cache import get_cache
    from myst_nb.core.read import myst_nb_reader_plugin

    page = root / "page.md"
    page.write_text(PAGE.format(code))
    cache = root / f"cache-{time.monotonic_ns()}"
    assert chapters.execute(root, [page], cache, 120, starter=starter) == {}
    _, done = get_cache(cache).merge_match_into_notebook(myst_nb_reader_plugin(str(page)))
    outputs: list[nbformat.NotebookNode] = done.cells[-1].outputs
    return outputs


def printed(outputs: list[nbformat.NotebookNode]) -> str:
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")


def test_a_notebook_cannot_tell_a_fork_from_a_new_interpreter(
    tmp_path: Path, forked: Nursery
) -> None:
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    fresh, fork = (
        json.loads(printed(executed(tmp_path, SEEN, way)).splitlines()[-1])
        for way in (Fresh(), forked)
    )
    for seen in (fresh, fork):
        assert seen["helpers"] == str(tmp_path / "helpers" / "__init__.py")
        seen["environment"].pop("IPYTHONDIR")
    assert fork == fresh


def test_its_figures_show_in_the_page(tmp_path: Path, forked: Nursery) -> None:
    assert [
        list(output.data) for output in executed(tmp_path, FIGURE, forked) if "data" in output
    ] == [["text/plain"], ["image/png", "text/plain"]]


def test_no_two_forks_draw_the_same(tmp_path: Path, forked: Nursery) -> None:
    one, other = (printed(executed(tmp_path, DRAWN, forked)).split() for _ in range(2))
    assert len(set(one + other)) == 8


def test_a_job_that_cannot_begin_is_told(tmp_path: Path, forked: Nursery) -> None:
    large = {f"LARGE_{n}": "x" * 100_000 for n in range(5)}  # more than a socket takes at once
    process = forked.start("this", tmp_path, tmp_path, large, tmp_path / "log")
    while (ended := process.poll()) is None:
        time.sleep(0.01)
    assert ended.code == 1
    assert "has no attribute 'main'" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_when_it_ends_so_does_what_it_has_started_and_who_asked_is_told(
    tmp_path: Path, end: str
) -> None:
    page, here = tmp_path / "page.md", tmp_path / "pid"
    page.write_text(PAGE.format(SLEEPS.format(here)))
    nursery = Nursery(run.environment(tmp_path))
    before = psutil.Process().children()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(
            chapters.execute, tmp_path, [page], tmp_path / "cache", 120, starter=nursery
        )
        while not (here.exists() and here.read_text()):
            time.sleep(0.05)
        [process] = [p for p in psutil.Process().children() if p not in before]
        started = process.children(recursive=True)
        assert int(here.read_text()) in [p.pid for p in started]
        if end == "killed":
            process.kill()
        else:
            nursery.close()
        assert "ended with" in done.result()[page]
    assert psutil.wait_procs(started, timeout=30)[1] == []
    if end == "killed":
        told = nursery.start("this", tmp_path, tmp_path, {}, tmp_path / "log").poll()
        assert told is not None
        assert "nursery" in (tmp_path / "log").read_text()
    nursery.close()


_RUNNER = """
import sys
from pathlib import Path
from helpers.course import chapters, nursery, run
root = Path(sys.argv[1])
with nursery.opened(run.environment(root)) as starter:
    pages = sorted(root.glob("*.md"))
    chapters.execute(root, pages, root / "cache", 600, starter=starter)
"""


def test_ctrl_c_ends_the_chapters_that_run_and_begins_no_other(tmp_path: Path) -> None:
    pids = [tmp_path / f"pid-{n}" for n in range(3)]
    for n, pid in enumerate(pids):
        (tmp_path / f"{n}.md").write_text(PAGE.format(SLEEPS.format(pid)))
    runner = subprocess.Popen([sys.executable, "-c", _RUNNER, str(tmp_path)])
    try:
        while not all(pid.exists() and pid.read_text() for pid in pids[:2]):
            assert runner.poll() is None
            time.sleep(0.05)
        started = psutil.Process(runner.pid).children(recursive=True)
        runner.send_signal(signal.SIGINT)
        runner.wait(30)  # the chapters take longer
    finally:
        runner.kill()
    assert psutil.wait_procs(started, timeout=30)[1] == []
    assert not pids[2].exists()
