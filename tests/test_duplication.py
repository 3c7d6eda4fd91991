"""No passage stands in two files: pylint's symilar looks for the same lines in a row."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pylint.checkers.symilar import Symilar

ROOT = Path(__file__).resolve().parent.parent
LINES = 10  # that say something: a lone bracket does not count
CODE = ("helpers", "solutions", "benchmarks", "scripts", "_ext")


class Imports:
    """What symilar asks of a file's syntax tree: where its imports stand.

    The tree that it builds by itself also infers types, through every library that is imported: a
    tenth of the time is left without.
    """

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)

    def nodes_of_class(self, kinds: Any) -> Iterator[ast.AST]:
        assert {kind.__name__ for kind in kinds} == {"Import", "ImportFrom"}
        return (n for n in ast.walk(self.tree) if isinstance(n, ast.Import | ast.ImportFrom))


def passages(files: list[Path], capsys: pytest.CaptureFixture[str]) -> str:
    """Return symilar's report."""
    symilar = Symilar(LINES, ignore_docstrings=True, ignore_imports=True)
    for path in files:
        tree: Any = Imports(path.read_text("utf-8"))
        with path.open(encoding="utf-8") as stream:
            symilar.append_stream(str(path), stream, tree=tree)
    symilar.run()
    return capsys.readouterr().out


@pytest.mark.parametrize("folders", [CODE, ("tests",)], ids=["code", "tests"])
def test_no_passage_stands_in_two_files(
    folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    report = passages(files, capsys)
    assert "duplicates=0 " in report, report[:4000]


def test_a_passage_that_stands_in_two_files_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = "".join(f"x{number} = {number}\n" for number in range(LINES + 1))
    imports = "".join(f"import module_{number}\n" for number in range(LINES + 1))
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(imports + "a = 1\n" + shared)
    second.write_text(imports + "b = 1\n" + shared)
    report = passages([first, second], capsys)
    assert f"{LINES + 1} similar lines in 2 files" in report
    assert f"duplicates={LINES + 1} " in report
