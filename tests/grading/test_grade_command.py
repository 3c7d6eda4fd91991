"""``edgesec grade`` as an instructor types it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.cli import main
from helpers.course import checks
from helpers.course.grading import lab as labs
from helpers.course.grading.lab import GradedLab
from helpers.sandbox import Layers, probes

Edgesec = Callable[..., tuple[int, str, str]]


@pytest.fixture
def edgesec(capsys: pytest.CaptureFixture[str]) -> Edgesec:
    def call(*args: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(args=["grade", *args])
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_a_folder_in_and_a_gradebook_out(
    edgesec: Edgesec,
    lab: GradedLab,
    solved: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(labs, "load", lambda root, name, private: lab)
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "doe_1_2_tiny.ipynb").write_text(json.dumps(solved))
    (source / "roe_3_4_tiny.ipynb").write_text("{")
    arguments = (str(source), "--lab", "1", "--out", str(out), "--no-progress", "--jobs", "2")
    code, shown, problems = edgesec(*arguments)
    assert (code, problems) == (0, "")
    assert shown == (
        f"2 submissions, mean 3.0 of 6 points; 1 to look at: {out / 'summary.html'}\n"
        f"memos to read: 1; edgesec grade review --out {out}\n"
    )
    names = {path.name for path in out.iterdir()}
    assert {"grades.csv", "nbgrader.csv", "canvas.csv", "summary.html", "run.json"} <= names
    assert "moodle.csv" not in names
    assert len(list((out / "feedback").glob("*.html"))) == 2
    assert (out / "summary.html").read_text().count("data:image/png;base64,") == 2


def test_marks_of_memos_are_in_everything_that_the_next_run_writes(
    edgesec: Edgesec,
    lab: GradedLab,
    solved: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(labs, "load", lambda root, name, private: lab)
    monkeypatch.setattr(checks, "load", lambda name: lab.spec)
    source, out, table = tmp_path / "in", tmp_path / "out", tmp_path / "memos.csv"
    source.mkdir()
    (source / "doe_1_2_tiny.ipynb").write_text(json.dumps(solved))
    arguments = (str(source), "--lab", "1", "--out", str(out), "--no-progress")
    assert edgesec(*arguments)[0] == 0
    (page,) = (out / "feedback").glob("*.html")
    assert "not marked yet" in page.read_text()
    assert "pending" in (out / "summary.html").read_text()
    assert ",6,pending,pending,10," in (out / "grades.csv").read_text()
    edgesec("review", "--out", str(out), "--export", str(table))
    table.write_text(table.read_text().replace(",,,,0,4", ",2,1,<b>clear</b>,,"))
    assert edgesec("review", "--out", str(out), "--import", str(table))[0] == 0
    code, shown, _ = edgesec(*arguments)
    assert (code, "to read" in shown) == (0, False)
    assert ",6,3,9,10," in (out / "grades.csv").read_text()
    assert "doe,1,,,,6,3" in (out / "canvas.csv").read_text()
    text = page.read_text()
    assert "9 of 10" in " ".join(text.split())
    assert "&lt;b&gt;clear&lt;/b&gt;" in text
    assert "pending" not in (out / "summary.html").read_text()
    before = {path.name: path.read_bytes() for path in out.glob("*.csv")}
    edgesec(*arguments, "--force")  # grading anew loses no mark
    again = {path.name: path.read_bytes() for path in out.glob("*.csv")}
    assert again["canvas.csv"] == before["canvas.csv"]
    assert again["nbgrader.csv"] == before["nbgrader.csv"]


def test_a_full_disk_is_said_and_the_same_command_goes_on(
    edgesec: Edgesec, lab: GradedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labs, "load", lambda root, name, private: lab)
    source, out = tmp_path / "in", tmp_path / "out"
    for folder in (source, out):
        folder.mkdir()
    (source / "roe.ipynb").write_text("{")
    full = out / f".grades.csv.{threading.get_native_id()}.tmp"  # as write_atomically names it
    full.symlink_to("/dev/full")
    arguments = (str(source), "--lab", "1", "--out", str(out), "--no-progress")
    code, _, problems = edgesec(*arguments)
    assert code == 1
    assert "No space left on device. When that is mended, the same command goes on" in problems
    assert not full.is_symlink()
    assert edgesec(*arguments)[0] == 0


def test_it_refuses_where_a_layer_is_missing_unless_told(
    edgesec: Edgesec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"namespaces": "Operation not permitted"}
    monkeypatch.setattr(probes, "available", lambda: (Layers(namespaces=False), missing))
    code, _, problems = edgesec(str(tmp_path), "--lab", "1")
    assert code == 1
    assert "cannot put up every layer of the sandbox: namespaces (Operation not perm" in problems
    code, _, problems = edgesec(
        str(tmp_path), "--lab", "1", "--unsafe", "--out", str(tmp_path / "out")
    )
    assert "without namespaces: Operation not permitted" in problems
    assert "there are no notebooks in" in problems


def test_what_is_missing_is_asked_for(edgesec: Edgesec, tmp_path: Path) -> None:
    assert "give SOURCE and --lab" in edgesec(str(tmp_path))[2]
    assert "there is no lab '77'" in edgesec(str(tmp_path), "--lab", "77")[2]


def test_check_sandbox_says_what_holds(edgesec: Edgesec, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [probe for probe in probes.PROBES if probe.attempt == "read a file of yours"]
    monkeypatch.setattr(probes, "PROBES", few)
    code, shown, _ = edgesec("--check-sandbox")
    assert code == 0
    first, group, last = shown.splitlines()
    assert (first, last) == ("held    files       read a file of yours", "every layer holds")
    assert group.startswith("memory and processes capped by the kernel as a group (cgroup v2): ")
    monkeypatch.setattr(
        probes, "available", lambda: (Layers(False, False, False), {"landlock": "no"})
    )
    code, shown, problems = edgesec("--check-sandbox")
    assert code == 1
    assert "landlock: not on this machine (no)" in shown
    assert "BROKEN  files       read a file of yours: it got through" in shown
    assert "the sandbox does not hold here" in problems
