"""``edgesec assess``: on a file of anybody's, with errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result

from helpers.cli.assess import command, fraction, load_images
from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.errors import EdgeError, RobustnessError
from tests.robustness.conftest import Examples

if TYPE_CHECKING:
    import tensorflow as tf

QUICK = ["--images", "40", "--steps", "4", "--restarts", "1", "--queries", "30", "--quiet"]


@pytest.fixture(scope="module")
def images(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("assess") / "digits.npz"
    np.savez(path, images=np.rint(examples[0] * 255).astype(np.uint8), labels=examples[1])
    return path


@pytest.fixture(scope="module")
def model(artefact: Artefact, images: Path) -> Path:
    return artefact.save(images.with_name("digits.tflite"))


def assessed(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def test_it_reports_and_writes_three_files(model: Path, images: Path, tmp_path: Path) -> None:
    done = assessed(model, "--data", images, "--epsilon", "40/255", "--out", tmp_path, *QUICK)
    assert done.exit_code == 0
    report = json.loads((tmp_path / "assessment.json").read_text())
    assert f"robust  at most {report['robust_acc']:.3f}" in done.output
    assert report["model"]["name"] == "digits.tflite"
    assert report["dataset"]["images"] == 40
    assert len(report["attacks"]) == 3
    assert report["robust_acc"] < report["clean_acc"] - 0.2
    assert "# Robustness of digits.tflite" in (tmp_path / "assessment.md").read_text()
    assert "<h1>" in (tmp_path / "assessment.html").read_text()


def test_the_range_of_inputs_is_read_from_the_file(
    network: tf.keras.Model, images: Path, examples: Examples
) -> None:
    """A model that takes -1 to 1, with an offset of one class, as many published ones do."""
    import tensorflow as tf

    centred = tf.keras.Input((8, 8, 1))
    scores = network(tf.keras.layers.Rescaling(0.5, 0.5)(centred))
    shifted = tf.keras.layers.ZeroPadding1D((1, 0))(tf.keras.layers.Reshape((10, 1))(scores))
    other = tf.keras.Model(centred, tf.keras.layers.Reshape((11,))(shifted))
    file = convert.to_tflite(other, "int8", examples[0] * 2 - 1)
    path = file.save(images.with_name("centred.tflite"))
    done = assessed(path, "--data", images, "--epsilon", "0.1", "--label-offset", "1", *QUICK)
    assert done.exit_code == 0
    assert "given to the model from -1 to 1" in done.output
    clean = float(done.output.split("clean ")[1].split()[0])
    assert clean > 0.8


def test_a_file_that_nobody_vouches_for_is_refused_or_ends_its_own_process(
    model: Path, images: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.tflite"
    content = bytearray(model.read_bytes())
    content[4:60] = bytes(range(200, 256))
    broken.write_bytes(bytes(content))
    with pytest.raises(EdgeError):
        assessed(broken, "--data", images, *QUICK)


def test_images_of_another_size_are_refused(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "big.npz", x_test=np.zeros((3, 9, 9, 1)), y_test=np.arange(3))
    with pytest.raises(RobustnessError, match="resize"):
        assessed(model, "--data", tmp_path / "big.npz", *QUICK)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": np.zeros(3)}, "expected images and labels"),
        ({"x": np.zeros((3, 4)), "y": np.zeros(3, int)}, r"\(n, height, width, channels\)"),
        ({"x": np.zeros((3, 4, 4, 1)), "y": np.zeros(3)}, "whole numbers"),
        ({"x": np.zeros((3, 4, 4, 1)), "y": np.zeros(2, int)}, "whole numbers"),
        ({"x": np.array([{}], object), "y": np.zeros(1, int)}, "plain arrays"),
    ],
)
def test_data_that_is_no_data_is_refused(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(RobustnessError, match=said):
        load_images(str(tmp_path / "x.npz"), 10, 0)


def test_data_cut_short_is_refused(images: Path, tmp_path: Path) -> None:
    content = images.read_bytes()
    for kept in (0, 100, len(content) - 10):
        cut = tmp_path / "cut.npz"
        cut.write_bytes(content[:kept])
        with pytest.raises(RobustnessError, match="plain arrays"):
            load_images(str(cut), 10, 0)


def test_a_radius_is_read_as_it_is_written() -> None:
    assert fraction("4/255") == pytest.approx(4 / 255)
    assert fraction(" .02 ") == 0.02
    for wrong in ("4/0", "four", "-1/255", "1e-2", "", "1/2/3"):
        with pytest.raises(RobustnessError, match="must be a number"):
            fraction(wrong)
