from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.course import colab
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
    assert colab.read_pins(path) == {"dm-tree": "0.1.8", "numpy": "1.26.4"}


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
    with pytest.raises(CourseError, match=r"Runtime > Change runtime type > Runtime version 2025"):
        colab.setup(clone)


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
