"""Drawn skin lesions, real ones from a folder, and MedMNIST's file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from helpers import data
from helpers.data import decode, lesions_drawn
from helpers.errors import DataError


def test_a_seed_draws_the_same_lesions_however_many() -> None:
    few, more = data.lesions(3, 2, side=24), data.lesions(5, 2, side=24)
    np.testing.assert_array_equal(few.x_train, more.x_train[:3])
    np.testing.assert_array_equal(few.x_test, more.x_test)
    assert not np.array_equal(few.x_train[:2], few.x_test)
    assert not np.array_equal(few.x_train, data.lesions(3, 2, side=24, seed=1).x_train)


def test_they_never_pass_for_patients() -> None:
    made = data.lesions(40, 2, side=32)
    assert made.source == "synthetic"
    assert "no patient" in made.describe()
    assert "NOT the real dataset" in made.describe()
    assert all("synthetic" in name for name in made.class_names)
    assert 10 < made.y_train.sum() < 30
    with pytest.raises(DataError, match="at least 24"):
        data.lesions(1, 1, side=23)
    with pytest.raises(DataError, match="at least 1"):
        data.lesions(0, 1)


def test_the_best_accuracy_is_that_of_the_best_rule_on_the_signs() -> None:
    """The likelihood ratio of two normal laws is linear in the signs; it is tried on 20,000."""
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.5
    signs = np.array([lesions_drawn.draw_signs(bool(label), rng) for label in labels])
    right = np.mean((signs @ np.array(lesions_drawn._APART) > 0) == labels)
    assert right == pytest.approx(lesions_drawn.best_accuracy(), abs=0.005)


def test_each_sign_shows_in_the_picture_and_the_skin_says_nothing() -> None:
    """With one sign turned up and down, the same draw differs; its corners do not."""
    for sign in range(4):
        pair = []
        for value in (-3.0, 3.0):
            signs = np.zeros(4)
            signs[sign] = value
            pair.append(lesions_drawn.draw(signs, 32, np.random.default_rng(3)))
        change = np.abs(pair[0] - pair[1]).max(axis=2)
        assert change[8:24, 8:24].max() > 0.1
        assert change[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 0.15


def test_a_picture_tells_the_class_but_not_surely() -> None:
    """Even colour statistics of the middle beat chance; nothing so simple comes near the best."""
    made = data.lesions(300, 200, side=24)

    def features(images: np.ndarray) -> np.ndarray:
        middle = images[:, 6:18, 6:18].reshape(len(images), -1, 3)
        return np.concatenate([middle.mean(axis=1), middle.std(axis=1)], axis=1)

    model = LogisticRegression(C=100).fit(features(made.x_train), made.y_train)
    accuracy = model.score(features(made.x_test), made.y_test)
    assert 0.6 < accuracy < lesions_drawn.best_accuracy()


# --- PH2

KINDS = ("Common Nevus", "Atypical Nevus", "Melanoma")


@pytest.fixture
def ph2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four pictures of each diagnosis, wider than high, brighter by their number."""
    folder = tmp_path / "copies" / "ph2"
    folder.mkdir(parents=True)
    rows = [("image_name", "diagnosis")]
    for number in range(12):
        name = f"IMD{number:03}"
        rows.append((name, KINDS[number % 3]))
        pixels = np.full((60, 90, 3), 10 * number, np.uint8)
        pixels[:, :15] = pixels[:, -15:] = 255  # outside of the middle square
        Image.fromarray(pixels).save(folder / f"{name}.png")
    write(folder, rows)
    monkeypatch.setenv("EDGESEC_DATA", str(folder.parent))
    return folder


def write(folder: Path, rows: list[tuple[str, str]]) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_photographs_are_split_by_name_and_cut_to_the_middle(ph2: Path) -> None:
    lesions = data.ph2()
    assert lesions.source == "local"
    assert "a subset, 6 + 6 of the 100 + 100 images" in lesions.origin
    assert lesions.x_train.shape == (6, 48, 48, 3)
    assert lesions.y_train.tolist() == lesions.y_test.tolist() == [0, 0, 0, 0, 1, 1]
    # of the common naevi 0, 3, 6, 9 every other one is for testing: 3 and 9
    np.testing.assert_allclose(lesions.x_test[:2].mean(axis=(1, 2, 3)) * 255, [30, 90], atol=0.01)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("IMD000", "Melanoma"), "not a new name"),
        (("../IMD1", "Melanoma"), "not a new name"),
        (("IMD900", "Basalioma"), "one of Common Nevus"),
        (("IMD900", "Melanoma"), "no picture IMD900"),
        (("IMD900", ""), "one of Common Nevus"),
    ],
)
def test_a_bad_line_is_named(ph2: Path, row: tuple[str, str], reason: str) -> None:
    with (ph2 / "labels.csv").open("a", newline="") as file:
        csv.writer(file).writerow(row)
    with pytest.raises(DataError, match=reason):
        data.ph2()


def test_a_damaged_copy_is_named(ph2: Path) -> None:
    (ph2 / "IMD004.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="IMD004"):
        data.ph2()
    write(ph2, [("image_name", "diagnosis"), ("IMD000", "Common Nevus")])
    with pytest.raises(DataError, match="needs naevi and melanomas"):
        data.ph2()
    (ph2 / "labels.csv").unlink()
    with pytest.raises(DataError, match="no table of diagnoses"):
        data.ph2()


@pytest.mark.parametrize("name", ["ph2", "derma_mnist"])
def test_without_a_copy_the_error_names_the_drawn_ones(name: str) -> None:
    with pytest.raises(DataError, match=r"EDGESEC_DATA.*helpers\.data\.lesions draws"):
        data.load(name)
    with pytest.raises(DataError, match="no offline default"):
        data.load(name, source="offline")


def test_the_published_photographs_are_whole(real_copies: Path) -> None:
    if not (real_copies / "ph2").is_dir():
        pytest.skip("no ph2 in the EDGESEC_DATA folder")
    lesions = data.ph2()
    assert "all of it" in lesions.origin
    assert np.bincount(lesions.y_test).tolist() == [80, 20]


# --- DermaMNIST


def medmnist(path: Path, **changed: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    stored = {}
    for part, count in (("train", 9), ("val", 3), ("test", 4)):
        stored[f"{part}_images"] = rng.integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)
        stored[f"{part}_labels"] = rng.integers(0, 7, (count, 1), dtype=np.uint8)
    np.savez(path, **(stored | changed))


def test_the_file_of_medmnist_is_read_as_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "medmnist").mkdir()
    medmnist(tmp_path / "medmnist" / "dermamnist.npz")
    monkeypatch.setenv("EDGESEC_DATA", str(tmp_path))
    lesions = data.derma_mnist()
    assert (len(lesions.x_train), len(lesions.x_test)) == (9, 4)
    assert lesions.x_validation is not None
    assert lesions.x_validation.shape == (3, 28, 28, 3)
    assert "melanoma" in lesions.class_names
    assert "CC BY-NC" in lesions.licence
    raw = decode.DOWNLOADED["derma_mnist"]([tmp_path / "medmnist" / "dermamnist.npz"])
    np.testing.assert_array_equal(lesions.x_test, raw["x_test"] / np.float32(255))
    medmnist(tmp_path / "medmnist" / "dermamnist.npz", val_labels=np.full((3, 1), 7, np.uint8))
    with pytest.raises(DataError, match="y_validation"):
        data.derma_mnist()
