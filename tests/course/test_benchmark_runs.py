"""``helpers.course.benchmark_runs``: what is out of date, and what one run does about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from helpers.cli.benchmarks import command
from helpers.course import benchmark_runs
from helpers.errors import CourseError

ROOT = Path(__file__).parents[2]
SCRIPT = '''"""A benchmark."""
import sys
from pathlib import Path
if not sys.argv:  # named, never imported here
    import helpers
    from common.figures import spread
    from helpers.robustness.gradients import Pgd
    from helpers import data, robustness as all_of_it
Path("ran").open("a").write(" ".join([Path(__file__).stem, *sys.argv[1:]]) + "\\n")
'''
WITH_PEER = '''"""A benchmark with a peer, which lives elsewhere:

    python3.11 -m venv build/peers/rival
    build/peers/rival/bin/pip install rival==1.0

And more.
"""
PEER = "rival_step.py"
'''


def commit(root: Path, day: int, written: dict[str, str]) -> None:
    """Write files and commit them on a day of January."""
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git_on(root, day, ["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"])


def git_on(root: Path, day: int, *lines: list[str]) -> None:
    """Run commands of git on a day of January."""
    date = f"2026-01-{day:02d}T12:00:00+00:00"
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(root)}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for line in lines:
        subprocess.run([*git, *line], cwd=root, check=True, env={**os.environ, **dates, **who})


def record(root: Path, name: str, *days: int) -> None:
    folder = root / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"date": f"2026-01-{day:02d}T13:00:00+00:00"} for day in days]
    (folder / f"{name}.json").write_text(json.dumps({"rows": rows}))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two benchmarks, one of them with a peer, and the code that they measure."""
    (tmp_path / "solutions").mkdir()
    (tmp_path / "_config.yml").write_text("title: x\n")
    (tmp_path / ".gitignore").write_text("ran\nbuild\n")
    commit(
        tmp_path,
        1,
        {
            "benchmarks/alone.py": SCRIPT,
            "benchmarks/beside.py": WITH_PEER + SCRIPT.partition("\n")[2],
            "benchmarks/common/figures.py": "",
            "benchmarks/peers/rival_step.py": "",
            "helpers/data/arrays.py": "",
            "helpers/robustness/__init__.py": "",
            "helpers/robustness/gradients.py": "",
        },
    )
    record(tmp_path, "alone", 2)
    record(tmp_path, "beside", 2)
    return tmp_path


def ran(root: Path) -> list[str]:
    return (root / "ran").read_text().splitlines() if (root / "ran").exists() else []


def test_a_record_is_stale_when_what_it_measures_changed_after_it(repository: Path) -> None:
    def changed() -> list[tuple[str, ...]]:
        return [benchmark.changed for benchmark in benchmark_runs.survey(repository)]

    assert changed() == [(), ()]
    drawn_on = ("helpers/data/arrays.py", "benchmarks/common/figures.py")  # not measured
    commit(repository, 3, dict.fromkeys(drawn_on, "x = 1"))
    assert changed() == [(), ()]
    commit(repository, 4, {"benchmarks/peers/rival_step.py": "x = 1"})
    assert changed() == [(), ("benchmarks/peers/rival_step.py",)]
    commit(repository, 5, {"helpers/robustness/gradients.py": "x = 1"})
    assert changed()[0] == ("helpers/robustness",)
    record(repository, "alone", 6)
    assert changed()[0] == ()
    record(repository, "alone", 6, 4)  # one of its rows is older
    assert changed()[0] == ("helpers/robustness",)


def test_what_is_not_committed_counts_as_changed_now(repository: Path) -> None:
    (repository / "benchmarks" / "alone.py").write_text(SCRIPT + "more = 1\n")
    [found] = benchmark_runs.survey(repository, ["alone"])
    assert found.changed == ("benchmarks/alone.py",)
    assert found.stale


@pytest.mark.parametrize(
    ("text", "stale"),
    [
        ('"""Says more."""\n\ndef f():\n    """Return 1."""  # why\n    return (1)\n', False),
        ("def f():\n    return 2\n", True),
        ("def f(:\n", True),
    ],
)
def test_what_only_a_reader_sees_makes_no_record_stale(
    repository: Path, text: str, stale: bool
) -> None:
    commit(repository, 3, {"helpers/robustness/gradients.py": "def f():\n    return 1\n"})
    record(repository, "alone", 4)
    commit(repository, 5, {"helpers/robustness/gradients.py": text})
    [found] = benchmark_runs.survey(repository, ["alone"])
    assert found.stale == stale


def test_another_version_of_a_peer_is_a_change(repository: Path) -> None:
    script = repository / "benchmarks" / "beside.py"
    commit(
        repository, 3, {"benchmarks/beside.py": script.read_text().replace("And more", "Or less")}
    )
    assert not benchmark_runs.survey(repository, ["beside"])[0].stale
    commit(repository, 4, {"benchmarks/beside.py": script.read_text().replace("==1.0", "==2.0")})
    assert benchmark_runs.survey(repository, ["beside"])[0].stale


def test_what_came_in_from_a_branch_after_the_measurement_is_a_change(repository: Path) -> None:
    code = "helpers/robustness/gradients.py"
    commit(repository, 2, {code: "def f():\n    return 1\n"})
    git_on(repository, 3, ["checkout", "-q", "-b", "side"])
    commit(repository, 3, {code: "def f():\n    return 2\n"})
    git_on(repository, 4, ["checkout", "-q", "-"])
    record(repository, "alone", 4)
    commit(repository, 5, {})
    git_on(repository, 6, ["merge", "-q", "--no-edit", "side"])
    commit(repository, 7, {code: "def f():\n    return 2  # two\n"})
    assert benchmark_runs.survey(repository, ["alone"])[0].changed == ("helpers/robustness",)


def test_a_course_in_a_folder_of_a_repository_is_compared_too(repository: Path) -> None:
    course = repository / "course"
    for name in ("benchmarks", "helpers"):
        shutil.copytree(repository / name, course / name)
    commit(repository, 2, {})
    record(course, "alone", 2)
    code = "course/helpers/robustness/gradients.py"
    commit(repository, 3, {code: "# nothing yet\n"})
    assert not benchmark_runs.survey(course, ["alone"])[0].stale
    commit(repository, 4, {code: "x = 1\n"})
    assert benchmark_runs.survey(course, ["alone"])[0].changed == ("helpers/robustness",)


def test_a_module_that_came_or_went_is_a_change(repository: Path) -> None:
    record(repository, "alone", 4)
    (repository / "helpers/robustness/new.py").write_text("")
    assert benchmark_runs.survey(repository, ["alone"])[0].changed == ("helpers/robustness",)
    (repository / "helpers/robustness/new.py").unlink()
    assert not benchmark_runs.survey(repository, ["alone"])[0].stale
    (repository / "helpers/robustness/gradients.py").unlink()
    assert benchmark_runs.survey(repository, ["alone"])[0].stale


def test_one_that_was_never_measured_is_stale(repository: Path) -> None:
    (repository / "benchmarks" / "results" / "alone.json").unlink()
    [found] = benchmark_runs.survey(repository, ["alone"])
    assert found.stale
    assert found.state == "never measured"


def test_a_run_measures_what_is_stale_and_leaves_alone_what_lacks_its_peer(
    repository: Path,
) -> None:
    commit(repository, 3, {"helpers/robustness/gradients.py": "x = 1"})
    outcomes = benchmark_runs.run(repository, benchmark_runs.survey(repository), say=lambda _: None)
    assert [(o.name, o.status) for o in outcomes] == [("alone", "recorded"), ("beside", "skipped")]
    assert "pip install rival==1.0" in outcomes[1].reason
    assert "And more" not in outcomes[1].reason
    assert ran(repository) == ["alone"]
    (repository / "build/peers/rival").mkdir(parents=True)
    record(repository, "alone", 4)
    outcomes = benchmark_runs.run(repository, benchmark_runs.survey(repository), say=lambda _: None)
    assert [o.status for o in outcomes] == ["up to date", "recorded"]
    assert ran(repository) == ["alone", "beside"]


def test_a_failure_does_not_stop_the_rest_and_ends_with_a_summary_and_a_status(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(
        repository, 3, {"benchmarks/alone.py": "raise SystemExit(3)", "benchmarks/zest.py": SCRIPT}
    )
    monkeypatch.chdir(repository)
    result = CliRunner().invoke(command, ["run"])
    assert isinstance(result.exception, CourseError)
    assert "1 benchmarks failed: alone" in str(result.exception)
    assert "exit status 3 of:  python benchmarks/alone.py" in result.output
    assert ran(repository) == ["zest"]


def test_a_quick_pass_runs_all_and_writes_apart(repository: Path) -> None:
    quick = SCRIPT + 'OPTIONS = ["--quick", "--again", "--minutes"]\n'
    commit(repository, 1, {"benchmarks/alone.py": quick})
    found = benchmark_runs.survey(repository)
    outcomes = benchmark_runs.run(repository, found, quick=True, say=lambda _: None)
    assert [o.status for o in outcomes] == ["passed", "passed"]
    assert ran(repository) == ["alone --quick", "beside --quick"]
    line = benchmark_runs.command_line(repository, "alone", quick=False, minutes=5)
    assert line == [sys.executable, "benchmarks/alone.py", "--again", "--minutes", "5"]


def test_a_name_that_is_no_benchmark_is_told_the_names(repository: Path) -> None:
    with pytest.raises(CourseError, match="no benchmark nothing; there are alone, beside"):
        benchmark_runs.survey(repository, ["nothing"])


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_every_benchmark_of_ours_has_a_quick_pass_that_cannot_touch_its_record(
    script: Path,
) -> None:
    text = script.read_text()
    assert '"--quick"' in text
    assert "record_path(__file__, " in text
    sources = benchmark_runs.sources(ROOT, script)
    assert all((ROOT / path).exists() for path in sources)
    assert any(path.startswith("helpers/") for path in sources)
