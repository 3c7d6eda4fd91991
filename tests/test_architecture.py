"""The arrows between the rooms of ``helpers``, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).resolve().parent.parent / "helpers"
FOUNDATION = {"plots", "data", "models"}
SUBJECTS = {"federated", "privacy", "watermark", "edge", "robustness", "threats", "interview"}
TOOLS = {"sandbox"}  # for untrusted code; knows no room
TOPS = {"audit", "course", "cli"}
SHARED = {"errors", "_files", "_reading", ""}  # "" is `helpers` itself

ALLOWED = {
    **{room: set() for room in FOUNDATION},
    **dict.fromkeys(SUBJECTS, FOUNDATION),
    **{room: set() for room in TOOLS},
    "course": FOUNDATION | SUBJECTS | TOOLS,
    "audit": FOUNDATION | SUBJECTS | TOOLS,
    "cli": FOUNDATION | SUBJECTS | TOOLS | {"course", "audit"},
}
HEAVY = {"tensorflow", "tensorflow_federated", "art", "sklearn", "matplotlib", "pandas", "torch"}


def rooms_imported(module: Path) -> set[str]:
    """The rooms that a module names in any import, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports here are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names if name.split(".")[0] == "helpers"]
    return {part[1] if len(part) > 1 else "" for part in parts} - {"__version__"}


def modules() -> list[Path]:
    return sorted(path for path in HELPERS.rglob("*.py") if path.parent != HELPERS)


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(HELPERS)))
def test_a_room_knows_only_the_rooms_below_it(module: Path) -> None:
    room = module.relative_to(HELPERS).parts[0]
    unknown = rooms_imported(module) - ALLOWED[room] - SHARED - {room}
    assert not unknown, f"{room} must not import {sorted(unknown)}"


def test_every_room_has_its_place_in_the_drawing() -> None:
    rooms = {path.name for path in HELPERS.iterdir() if (path / "__init__.py").exists()}
    assert rooms <= FOUNDATION | SUBJECTS | TOOLS | TOPS


@pytest.mark.parametrize("code", ["import helpers", "import helpers.cli", "import helpers.errors"])
def test_the_package_and_the_command_line_load_nothing_heavy(code: str) -> None:
    probe = f"import sys; {code}; print(' '.join(m.split('.')[0] for m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    assert not HEAVY & set(done.stdout.split())


def test_help_of_every_command_loads_nothing_heavy() -> None:
    from helpers.cli import COMMANDS

    for command in COMMANDS:
        probe = (
            "import sys, atexit\n"
            "atexit.register(lambda: print('LOADED', *{m.split('.')[0] for m in sys.modules}))\n"
            f"sys.argv = ['edgesec', {command!r}, '--help']\n"
            "from helpers.cli import main; main(prog_name='edgesec')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
        )
        loaded = set(done.stdout.split("LOADED")[1].split())
        assert "Usage: edgesec" in done.stdout
        assert not HEAVY & loaded, f"edgesec {command} --help loads {sorted(HEAVY & loaded)}"


def test_python_m_helpers_is_the_console_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("Usage: edgesec")
