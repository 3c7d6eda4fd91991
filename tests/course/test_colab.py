from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from helpers.course import colab, pins
from helpers.errors import CourseError

NUMPY = importlib.metadata.version("numpy")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "labs").mkdir()
    return tmp_path


def lock(clone: Path, text: str) -> Path:
    path = clone / "labs" / "requirements.txt"
    path.write_text(text)
    return path


def test_the_module_needs_the_standard_library_alone() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport helpers.course.colab\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'helpers'}\n"
        "assert new <= set(sys.stdlib_module_names), new"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_pins_are_read_from_a_hashed_lock(clone: Path) -> None:
    path = lock(clone, "# dm-tree==9\ndm-tree==0.1.8 \\\n    --hash=sha256:00\nnumpy==1.26.4 ; x\n")
    assert pins.read(path) == {"dm-tree": "0.1.8", "numpy": "1.26.4"}


def test_what_is_missing_or_of_another_version_is_found() -> None:
    pins = {"numpy": NUMPY, "pytest": "0.0.1", "no-such-package": "1"}
    assert colab.not_installed(pins) == ["pytest", "no-such-package"]


def test_what_this_process_has_imported_is_known_by_its_distribution() -> None:
    import yaml  # noqa: F401

    assert colab.imported(["pyyaml", "no-such-package"]) == ["PyYAML"]
    assert colab.imported(["ruff"]) == []  # installed, and no test imports it


def test_a_ready_runtime_is_left_alone(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock(clone, f"numpy=={NUMPY}\n")
    colab.setup(clone)
    assert capsys.readouterr().out == "Ready.\n"


def test_another_python_is_told_what_to_change(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colab, "PYTHON", (3, 99))
    menu = r"Runtime > Change runtime type > Runtime version 2025"
    with pytest.raises(colab.NotReadyError, match=menu) as refused:
        colab.setup(clone)
    assert refused.value._render_traceback_() == [str(refused.value)], "words, and no traceback"


class Commands:
    """Records commands instead of running them."""

    def __init__(self) -> None:
        self.run: list[str] = []

    def __call__(self, command: list[str]) -> None:
        self.run.append(" ".join(command))


def test_the_lock_is_installed_by_hash_and_tensorflow_makes_room(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(clone, f"numpy=={NUMPY}\n")
    monkeypatch.setattr(colab, "installed_version", {"tensorflow": "2.18.0", "numpy": NUMPY}.get)
    commands = Commands()
    colab.install(clone, ["tensorflow-cpu", "dm-tree"], commands)
    uninstall, packages, course = commands.run
    assert "uninstall" in uninstall
    assert "--no-deps --require-hashes -r" in packages
    assert course.endswith(f"--no-deps --no-build-isolation {clone}")

    commands = Commands()
    colab.install(clone, ["dm-tree"], commands)
    assert not any("uninstall" in command for command in commands.run)


def test_an_installation_that_changed_nothing_is_not_taken_for_a_success(clone: Path) -> None:
    lock(clone, "no-such-package==1\n")
    with pytest.raises(CourseError, match="still not there: no-such-package"):
        colab.install(clone, ["no-such-package"], Commands())


def test_a_failed_command_is_shown_with_its_last_lines(clone: Path) -> None:
    path = lock(clone, "")
    path.unlink()
    with pytest.raises(CourseError, match=r"this command failed.*requirements\.txt"):
        colab.install(clone, [])


@pytest.mark.parametrize("loaded", [True, False])
def test_the_kernel_restarts_once_if_a_replaced_package_was_in_use(
    clone: Path, monkeypatch: pytest.MonkeyPatch, loaded: bool
) -> None:
    lock(clone, "numpy==0.0.1\n")
    restarts: list[int] = []
    versions: dict[str, str] = {"edge-ml-security": "0.1.0"}
    monkeypatch.setattr(colab, "installed_version", versions.get)
    monkeypatch.setattr(colab, "imported", lambda names: ["numpy"] if loaded else [])
    monkeypatch.setattr(colab, "restart_kernel", lambda: restarts.append(1))

    def install(root: Path, missing: Any) -> None:
        versions["numpy"] = "0.0.1"

    monkeypatch.setattr(colab, "install", install)
    for _ in range(3):
        colab.setup(clone)
    assert len(restarts) == loaded


def test_the_environment_beside_colabs_own_is_made_once(clone: Path) -> None:
    folder = clone / "env"
    folder.mkdir()
    commands = Commands()
    python = colab.make_environment(clone, folder, commands)
    assert python == folder / "bin" / "python"
    assert any("venv" in command and "3.11" in command for command in commands.run)
    assert any("pip sync" in c and "--require-hashes" in c for c in commands.run)
    made = len(commands.run)
    colab.make_environment(clone, folder, commands)
    assert len(commands.run) == made


# --- what is in the lock, against what Colab's pinned runtime has ------------------------------

ROOT = Path(__file__).parents[2]
# Imported by helpers, and by no lab.
NOT_IN_LABS = {
    "jupyter-book": "builds the book",
    "jupyter-cache": "keeps the executed chapters of the book",
    "myst-nb": "reads the chapters of the book",
    "papermill": "runs the labs for tests and the book",
    "playwright": "prints the book",
    "pypdf": "prints the book",
    "fsrs": "the interview's scheduler",
    "genanki": "the interview's deck",
    "rapidfuzz": "compares interview questions",
    "torch": "ExecuTorch's own environment",
    "executorch": "ExecuTorch's own environment",
}


@pytest.fixture(scope="module")
def theirs() -> dict[str, str]:
    """What Colab's runtime 2025.07 holds."""
    pinned = pins.read(ROOT / "labs" / "colab-2025.07.txt")
    return {pins.canonical(name): version for name, version in pinned.items()}


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    """What the setup cell adds or replaces."""
    pinned = pins.read(ROOT / "labs" / "requirements.txt")
    return {pins.canonical(name): version for name, version in pinned.items()}


def test_the_list_is_that_of_the_runtime(theirs: dict[str, str]) -> None:
    """Versions from the table of runtimes that the list's publisher keeps beside it."""
    published = {"numpy": "2.0.2", "jax": "0.5.2", "tensorflow": "2.18.0"}
    assert {name: theirs[name] for name in published} == published


def test_the_setup_cell_installs_only_what_the_runtime_lacks(
    theirs: dict[str, str], ours: dict[str, str]
) -> None:
    assert not [name for name, version in ours.items() if theirs.get(name) == version]


def test_whatever_helpers_and_the_labs_import_is_there_after_the_setup_cell(
    theirs: dict[str, str], ours: dict[str, str]
) -> None:
    owners = importlib.metadata.packages_distributions()
    there = theirs.keys() | ours.keys() | NOT_IN_LABS.keys()
    missing: dict[str, list[str]] = {}
    for path in [*ROOT.glob("helpers/**/*.py"), *ROOT.glob("solutions/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for module in {name.partition(".")[0] for name in names}:
                known = {pins.canonical(owner) for owner in owners.get(module, [module])}
                if (
                    module not in sys.stdlib_module_names
                    and module != "helpers"
                    and not known & there
                ):
                    missing.setdefault(module, []).append(str(path.relative_to(ROOT)))
    assert not missing, "add it to labs/requirements.in and run `make lock`"


def test_what_the_setup_cell_installs_finds_what_it_needs_in_a_version_new_enough(
    theirs: dict[str, str], ours: dict[str, str]
) -> None:
    """With --no-deps nobody else looks; only a cap that overrides.txt undoes may be broken."""
    overrides = (ROOT / "overrides.txt").read_text()
    undone = {pins.canonical(name) for name in re.findall(r"^([\w.-]+)", overrides, re.MULTILINE)}
    left_out = re.findall(r"^([\w.-]+) ; sys_platform == \"never\"", overrides, re.MULTILINE)
    both = theirs | ours
    for name, version in ours.items():
        here = importlib.metadata.distribution(name)
        assert here.version == version or name in theirs, f"{name}: the two locks differ"
        for needed in map(Requirement, here.requires or ()):
            if here.version != version or (needed.marker and not needed.marker.evaluate()):
                continue
            found, other = both.get(pins.canonical(needed.name)), pins.canonical(needed.name)
            if other == "tensorflow":  # tensorflow-cpu stands for it
                found = both["tensorflow-cpu"]
            elif other in left_out:
                continue
            assert found, f"{name} needs {needed}, which nothing brings"
            if not needed.specifier.contains(found, prereleases=True):
                floor = SpecifierSet(
                    ",".join(str(part) for part in needed.specifier if part.operator in (">", ">="))
                )
                kept = floor.contains(found, prereleases=True)
                assert other in undone, f"{name} needs {needed}, and gets {found}"
                assert kept, f"{name} needs {needed}, and gets {found}"
