"""The arrows between the rooms of ``helpers``, and what importing them costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = Path(__file__).resolve().parent.parent / "helpers"
FOUNDATION = {"plots", "data", "models"}
SUBJECTS = {"federated", "privacy", "watermark", "edge", "robustness", "threats", "interview"}
TOOLS = {"sandbox"}  # for untrusted code; knows no room
TOPS = {"audit", "course", "cli"}
SHARED = {
    "errors",
    "_checks",
    "_dense",
    "_files",
    "_reading",
    "_section",
    "_text",
    "_schemas",
    "",
}  # "" is `helpers` itself; these know no room
# What an installed package does not have beside it.
OUTSIDE = {"tests", "benchmarks", "scripts", "solutions", "labs", "_ext"}

ALLOWED = {
    **{room: set() for room in FOUNDATION},
    **dict.fromkeys(SUBJECTS, FOUNDATION),
    **{room: set() for room in TOOLS},
    "course": FOUNDATION | SUBJECTS | TOOLS,
    "audit": FOUNDATION | SUBJECTS | TOOLS,
    "cli": FOUNDATION | SUBJECTS | TOOLS | {"course", "audit"},
    "__main__": {"cli"},
    **{shared: set() for shared in (SHARED | {"__init__"}) - {""}},
}
MODULE = re.compile(r"helpers(\.\w+)+\.?")
HEAVY = {"tensorflow", "tensorflow_federated", "art", "sklearn", "matplotlib", "pandas", "torch"}


def named(module: Path) -> set[str]:
    """Every module that one imports, at its top or inside a function, or names in a string.

    A string is as good as an import: ``importlib`` and ``python -m`` take one.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports here are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= {node.value} if MODULE.fullmatch(node.value) else set()
    return names


def rooms_of(names: set[str]) -> set[str]:
    parts = [name.split(".") for name in names if name.split(".")[0] == "helpers"]
    return {part[1] if len(part) > 1 else "" for part in parts} - {"__version__"}


MODULES = sorted(HELPERS.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(HELPERS)))
def test_a_room_knows_only_the_rooms_below_it(module: Path) -> None:
    room, names = module.relative_to(HELPERS).parts[0].removesuffix(".py"), named(module)
    unknown = rooms_of(names) - ALLOWED[room] - SHARED - {room}
    assert not unknown, f"{room} must not know {sorted(unknown)}"
    assert not OUTSIDE & {name.split(".")[0] for name in names}


def test_a_module_that_is_named_in_a_string_counts(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""About helpers.edge."""\nimport importlib\nimport helpers.data\n'
        "def late(name):\n    from helpers import models\n"
        "    return importlib.import_module(f'helpers.privacy.{name}'), 'helpers.audit.worker'\n"
    )
    assert rooms_of(named(module)) == {"data", "models", "privacy", "audit"}


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
