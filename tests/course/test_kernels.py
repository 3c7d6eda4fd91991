"""The kernel of labs and chapters, started as they start it."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.course.kernels import SocketFileKernel

NAMES = "print([name for name in dir() if not name.startswith('_')])"
SPARED = """
import gc, sys, jsonschema
print(sys.modules["rfc3987_syntax"], gc.get_threshold()[0])
jsonschema.validate({"when": 3}, {"properties": {"when": {"type": "integer"}}})
"""


def test_a_kernel_holds_no_name_of_ours_and_is_spared_a_grammar_and_looks_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")  # the sockets lie beside it
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    cells = [nbformat.v4.new_code_cell(text) for text in (NAMES, SPARED)]
    made = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(made, kernel_manager_class=SocketFileKernel, timeout=60).execute()
    first, second = ([output.text.strip() for output in cell.outputs] for cell in made.cells)
    assert first == ["['In', 'Out', 'exit', 'get_ipython', 'open', 'quit']"]
    assert second == ["None 20000"]
    assert [cell.execution_count for cell in made.cells] == [1, 2]
