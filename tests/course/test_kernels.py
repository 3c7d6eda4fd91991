"""The kernel of labs and chapters, started as they start it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.course.kernels import SocketFileKernel

Executed = Callable[..., list[str]]
NAMES = "print([name for name in dir() if not name.startswith('_')])"
SPARED = """
import gc, sys, jsonschema
print(sys.modules["rfc3987_syntax"], gc.get_threshold()[0])
jsonschema.validate({"when": 3}, {"properties": {"when": {"type": "integer"}}})
"""
TENSORFLOW = """
import sys, tensorflow as tf
before = "jax" in sys.modules
network = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Dense(2)])
file = tf.lite.TFLiteConverter.from_keras_model(network).convert()
import jax
print(before, file[4:8], jax.numpy.arange(3).sum())
"""


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Executed:
    """Return a function that runs cells in one kernel and returns what they print."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")  # the sockets lie beside it
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")

    def run(*cells: str) -> list[str]:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
        NotebookClient(made, kernel_manager_class=SocketFileKernel, timeout=60).execute()
        assert [cell.execution_count for cell in made.cells] == list(range(1, len(cells) + 1))
        return [
            "".join(
                output.text for output in cell.outputs if output.get("name") == "stdout"
            ).strip()
            for cell in made.cells
        ]

    return run


def test_a_kernel_holds_no_name_of_ours_and_is_spared_a_grammar_and_looks_for_garbage(
    executed: Executed,
) -> None:
    assert executed(NAMES, SPARED) == [
        "['In', 'Out', 'exit', 'get_ipython', 'open', 'quit']",
        "None 20000",
    ]


def test_tensorflow_comes_without_jax_which_comes_when_it_is_asked_for(executed: Executed) -> None:
    [said] = executed(TENSORFLOW)
    assert said.split("\n")[-1] == "False b'TFL3' 3"
