from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from helpers.course import generate, source
from helpers.errors import CourseError


def made(root: Path) -> Any:
    generate.generate(root)
    return nbformat.read(root / "labs" / "01-tiny.ipynb", as_version=4)


def test_the_notebook_is_valid_and_has_neither_outputs_nor_answers(root: Path) -> None:
    notebook = made(root)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)
    text = (root / "labs" / "01-tiny.ipynb").read_text()
    for secret in ("total", "weights.sum", "length =", "itemsize", "isclose", "BEGIN", "END"):
        assert secret not in text


def test_generating_twice_gives_the_same_bytes_and_writes_once(root: Path) -> None:
    assert generate.generate(root) == [root / "labs" / "01-tiny.ipynb"]
    first = (root / "labs" / "01-tiny.ipynb").read_bytes()
    assert generate.generate(root) == []
    (root / "labs" / "01-tiny.ipynb").unlink()
    generate.generate(root)
    assert (root / "labs" / "01-tiny.ipynb").read_bytes() == first
    assert first.endswith(b"}\n")


def test_an_edit_changes_the_id_of_the_edited_cell_alone(root: Path) -> None:
    before = [cell.id for cell in made(root).cells]
    path = root / "solutions" / "01_tiny.py"
    path.write_text(path.read_text().replace("Return the weighted mean", "Give the weighted mean"))
    after = [cell.id for cell in made(root).cells]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_two_equal_cells_have_different_ids(root: Path) -> None:
    path = root / "solutions" / "01_tiny.py"
    path.write_text(path.read_text() + "\n# %%\nlab.report()\n\n# %%\nlab.report()\n")
    ids = [cell.id for cell in made(root).cells]
    assert len(set(ids)) == len(ids)


def test_the_title_comes_first_with_the_link_to_colab_that_the_configuration_gives(
    root: Path,
) -> None:
    first = made(root).cells[0]
    assert first.source.startswith("# A tiny lab\n\n[Open this lab in Colab](https://colab")
    assert "/github/someone/some-course/blob/main/labs/01-tiny.ipynb)" in first.source


def test_the_first_code_cell_prepares_colab_and_does_nothing_elsewhere(root: Path) -> None:
    first = next(cell for cell in made(root).cells if cell.cell_type == "code")
    assert "https://github.com/someone/some-course" in first.source
    names: dict[str, Any] = {}
    exec(first.source, names)
    assert "colab" not in names


def test_colab_is_asked_for_the_runtime_with_python_311(root: Path) -> None:
    colab = made(root).metadata["colab"]
    assert colab["runtime_attributes"] == {"runtime_version": "2025.07"}


def test_the_parameters_cell_keeps_its_tag_and_the_learner_gets_the_full_profile(
    root: Path,
) -> None:
    (cell,) = [c for c in made(root).cells if c.metadata.get("tags") == ["parameters"]]
    assert 'profile = "full"' in cell.source


def test_a_cell_that_is_hidden_as_a_whole_is_left_out(root: Path) -> None:
    lab = source.read(root / "solutions" / "01_tiny.py")
    learner = generate.notebook(lab, root)
    solved = generate.notebook(lab, root, solved=True)
    assert len(solved.cells) == len(learner.cells) + 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("# # A tiny lab", "# A tiny lab", "begin with '# Title'"),
        ('tags=["parameters"]', "", "exactly one cell"),
        ('profile = "full"', "size = 3", "sets profile and seed"),
        ("# # A tiny lab", '# # A tiny lab\n\n# %% tags=["parameters"]\nx = 1\n', "found 2"),
    ],
)
def test_a_source_without_title_or_parameters_is_refused(
    root: Path, old: str, new: str, reason: str
) -> None:
    path = root / "solutions" / "01_tiny.py"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(CourseError, match=reason):
        generate.generate(root)


def test_nothing_is_written_when_one_of_several_sources_is_broken(root: Path) -> None:
    (root / "solutions" / "02_broken.py").write_text("# %%\na = = 1\n")
    with pytest.raises(CourseError, match=r"02_broken\.py:2"):
        generate.generate(root)
    assert not (root / "labs").exists()


def test_the_file_is_plain_json(root: Path) -> None:
    made(root)
    json.loads((root / "labs" / "01-tiny.ipynb").read_text())
