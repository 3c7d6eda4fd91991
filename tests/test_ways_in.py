"""The ways in that this repository cannot walk by itself: what their files name must exist.

Binder reads the files of ``.binder`` alone, since that folder is there: ``runtime.txt`` says which
Python, and ``postBuild`` runs from the root. A dev container runs its command in the clone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What repo2docker looks for before it comes to Python and runtime.txt.
OTHER_RECIPES = {
    "Dockerfile",
    "JuliaProject.toml",
    "Project.toml",
    "REQUIRE",
    "default.nix",
    "install.R",
    "DESCRIPTION",
    "environment.yml",
    "Pipfile",
    "Pipfile.lock",
}


@pytest.fixture(scope="module")
def python() -> str:
    """The one version of Python that the package takes, such as ``3.11``."""
    bound = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    lowest, below = re.fullmatch(r">=(3\.\d+),<(3\.\d+)", bound).groups()  # type: ignore[union-attr]
    assert int(below.split(".")[1]) == int(lowest.split(".")[1]) + 1
    return lowest


def is_runnable(path: Path) -> bool:
    return os.access(path, os.X_OK) and subprocess.run(["sh", "-n", str(path)]).returncode == 0


def test_binder_finds_python_and_nothing_that_goes_before_it(python: str) -> None:
    assert not (ROOT / "binder").exists(), "Binder refuses a repository with both folders"
    assert (ROOT / ".binder/runtime.txt").read_text().strip() == f"python-{python}"
    names = {path.name for path in (ROOT / ".binder").iterdir()}
    assert not names & OTHER_RECIPES
    assert "requirements.txt" not in names, "Binder would install it with pip's resolver"


def test_what_binder_runs_installs_the_whole_lock_and_the_course() -> None:
    script = ROOT / ".binder/postBuild"
    assert is_runnable(script)
    lock, course = re.findall(r"^python -m pip install (.+)$", script.read_text(), re.MULTILINE)
    *options, _, name = lock.split()
    assert {"--no-deps", "--require-hashes"} <= set(options)
    assert (ROOT / name).is_file()
    assert course.split()[-1] == "."
    assert {"--no-deps", "--no-build-isolation"} <= set(course.split())


def test_the_address_of_binder_opens_the_labs() -> None:
    readme = (ROOT / "README.md").read_text()
    [folder] = re.findall(r"mybinder\.org/v2/gh/[^?)]+\?urlpath=lab/tree/(\w+)\)", readme)
    assert list((ROOT / folder).glob("*.ipynb"))


def test_the_labs_that_binder_has_too_little_memory_for_are_named() -> None:
    from helpers.course import catalogue

    rows = json.loads((ROOT / "benchmarks/results/lab_times.json").read_text())["rows"]
    peak = {
        row["settings"]["lab"]: row["peak_megabytes"]
        for row in rows
        if row["settings"]["profile"] == "full"
    }
    left = 2000 - 100  # what a session may take at most, less JupyterLab itself
    too_large = [lab.number for lab in catalogue.entries(ROOT) if peak[lab.name] > left]
    for page in ("README.md", "chapters/for-instructors.md"):
        [said] = re.findall(r"Binder gives a session.*?\.(?=\s)", (ROOT / page).read_text(), re.S)
        assert [int(number) for number in re.findall(r"labs? (\d+)", said)] == too_large


def test_the_dev_container_has_that_python_and_runs_what_is_there(python: str) -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert re.search(rf"/python:(\d+-)?{re.escape(python)}-", container["image"])
    script, *options = container["postCreateCommand"].split()
    assert is_runnable(ROOT / script)
    assert all(f'"{option}"' in (ROOT / script).read_text() for option in options)
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter.removeprefix("${containerWorkspaceFolder}/") == ".venv/bin/python"
    assert container["hostRequirements"]["cpus"] == 2


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder with the setup script, and in ``bin`` what every system has; no Python and no uv."""
    for name in ("scripts", "bin"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", tmp_path / "scripts")
    for name in ("awk", "df", "dirname", "uname"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    return tmp_path


def refusal(bare: Path) -> str:
    """What the setup script says when it cannot go on."""
    command = ["/bin/sh", str(bare / "scripts/setup.sh")]
    env = {"PATH": str(bare / "bin"), "HOME": str(bare)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert not (bare / ".venv").exists()
    return done.stderr


def write_command(path: Path, *lines: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def test_who_has_no_python_is_told_which_package_to_install(bare: Path) -> None:
    said = refusal(bare)
    assert "no python3" in said
    assert "python3.11-venv" in said
    assert "pipx install uv" in said


def test_who_has_no_venv_module_is_told_its_package(bare: Path) -> None:
    write_command(bare / "bin/python3.11", 'case "$2" in *venv*) exit 1 ;; esac')
    said = refusal(bare)
    assert "no venv module" in said
    assert "apt-get install python3.11-venv" in said


@pytest.mark.parametrize("machine", ["Darwin arm64", "Darwin x86_64", "Linux aarch64"])
def test_another_machine_is_told_which_ways_are_left(bare: Path, machine: str) -> None:
    system, processor = machine.split()
    write_command(bare / "bin/uname", f'[ "$1" = -s ] && echo {system} || echo {processor}')
    said = refusal(bare)
    assert f"this is {system} on {processor}" in said
    assert all(way in said for way in ("Colab", "Codespaces", "WSL 2"))


@pytest.mark.parametrize("page", ["README.md", "index.md"])
@pytest.mark.parametrize("system", ["Linux", "macOS", "Windows"])
def test_each_system_is_told_where_to_begin(page: str, system: str) -> None:
    assert (ROOT / page).read_text().replace("**", "").count(f"On {system}") == 1


def test_ci_uses_that_python(python: str) -> None:
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        versions = re.findall(r'python-version: "([\d.]+)"', workflow.read_text())
        assert set(versions) <= {python}


def test_every_command_of_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)", readme, re.MULTILINE))
    assert {"book", "test"} <= named <= targets

    from helpers.cli import COMMANDS

    assert set(re.findall(r"edgesec ([a-z]+)", readme)) <= COMMANDS.keys()
