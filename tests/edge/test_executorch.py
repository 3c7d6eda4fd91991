"""ExecuTorch lives in its own environment; without it, what can be tested is how it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.edge.runtimes import executorch_install, open_model
from helpers.errors import EdgeError
from tests.edge.conftest import wake_word

installed = pytest.mark.skipif(
    not executorch_install.is_installed(), reason="ExecuTorch's environment is not installed"
)


@installed
def test_a_program_agrees_with_the_file_it_was_made_from(
    artefacts: dict[str, Artefact], rows: np.ndarray
) -> None:
    program = convert.to_executorch(artefacts["float16"])
    with open_model(program) as theirs, open_model(artefacts["float16"]) as ours:
        assert theirs.runtime == "executorch"
        found = theirs.predict(rows)
        np.testing.assert_allclose(found, ours.predict(rows), rtol=0, atol=1e-5)
        assert (theirs.time(2, 10) > 0).all()


@installed
def test_a_damaged_program_is_refused_in_the_worker() -> None:
    with pytest.raises(EdgeError, match="executorch"):
        open_model(Artefact(b"\x00" * 200, "pte", "damaged.pte"))


def test_without_its_environment_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, artefacts: dict[str, Artefact]
) -> None:
    monkeypatch.delenv(executorch_install.VARIABLE, raising=False)
    monkeypatch.setenv("EDGESEC_CACHE", str(tmp_path))
    with pytest.raises(EdgeError, match="edgesec edge install executorch"):
        convert.to_executorch(artefacts["float32"])


def test_an_environment_that_was_left_unfinished_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(executorch_install.VARIABLE, raising=False)
    monkeypatch.setenv("EDGESEC_CACHE", str(tmp_path))
    python = executorch_install.environment() / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert not executorch_install.is_installed()


def test_what_the_export_cannot_take_is_named(artefacts: dict[str, Artefact]) -> None:
    with pytest.raises(EdgeError, match="float32 or float16 file"):
        convert.to_executorch(artefacts["int8"])
    with pytest.raises(EdgeError, match="keeps state"):
        convert.to_executorch(Artefact.read(wake_word("alexa")))
    with pytest.raises(EdgeError, match="isolated=True"):
        open_model(Artefact(b"", "pte"), isolated=False)
