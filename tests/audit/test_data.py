"""A practitioner's examples are checked before any work is done."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.audit.data import find_span, load_data
from helpers.edge.artefact import TensorContract
from helpers.errors import AuditError

FLOAT = TensorContract("x", (1, 8, 8, 1), "float32")
INT8 = TensorContract("x", (1, 8, 8, 1), "int8", 1 / 255, -128)
CENTRED = TensorContract("x", (1, 8, 8, 3), "uint8", 2 / 255, 128)


def saved(path: Path, **given_: Any) -> Path:
    content = {"x": np.random.default_rng(0).random((6, 8, 8, 1)), "y": np.arange(6) % 3}
    np.savez(path, **(content | given_))
    return path


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"y": np.arange(5)}, "one whole number for each of 6 inputs"),
        ({"y": np.linspace(0, 1, 6)}, "whole number"),
        ({"y": np.arange(6)}, "answers 3 classes"),
        ({"x": np.zeros((6, 9, 9, 1))}, r"the model takes \('n', 8, 8, 1\)"),
        ({"x": np.full((6, 8, 8, 1), np.nan)}, "NaN"),
        ({"x": 255 * np.ones((6, 8, 8, 1))}, "the model takes 0 to 1"),
        ({"x": np.array(["a"] * 6)}, "real numbers"),
        ({"members_x": np.zeros((6, 8, 8, 1))}, "lacks members_y"),
        ({"members_x": np.zeros((6, 8, 8, 1)), "members_y": np.arange(6) % 3}, "not both"),
        ({"xs": np.zeros(3)}, "expected x and y"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_by_name(
    given_: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(AuditError, match=said):
        load_data(saved(tmp_path / "d.npz", **given_), INT8, 3)


def test_a_pickle_in_the_file_is_refused_and_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harmed",))

    boxed = np.empty(1, object)
    boxed[0] = Harm()
    with pytest.raises(AuditError, match=r"no \.npz of plain arrays"):
        load_data(saved(tmp_path / "d.npz", x=boxed), INT8, 3)
    (tmp_path / "e.npz").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(AuditError, match=r"no \.npz of plain arrays"):
        load_data(tmp_path / "e.npz", INT8, 3)
    assert not (tmp_path / "harmed").exists()


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "d.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AuditError, match=r"no \.npz"):
        load_data(tmp_path / "cut.npz", INT8, 3)


def test_pictures_in_uint8_are_brought_into_the_range_of_the_model(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    found = load_data(saved(tmp_path / "d.npz", x=codes), CENTRED, 3)
    assert found.span == (-1, 1)
    assert found.examples.x == pytest.approx(codes / 127.5 - 1, abs=1e-6)


def test_pictures_in_uint8_for_a_float_model_need_a_word(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)
    path = saved(tmp_path / "d.npz", x=codes)
    with pytest.raises(AuditError, match="--range"):
        load_data(path, FLOAT, 3)
    assert load_data(path, FLOAT, 3, (0.0, 1.0)).examples.x.max() <= 1


def test_a_background_class_shifts_the_labels(tmp_path: Path) -> None:
    found = load_data(saved(tmp_path / "d.npz"), INT8, 4, label_offset=1)
    assert found.examples.y.tolist() == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("scale", [0.07, 0.5])
def test_spectrograms_are_no_pictures(scale: float) -> None:
    contract = TensorContract("mfcc", (1, 49, 10, 1), "int8", scale, 20)
    assert find_span(contract, np.zeros((2, 49, 10, 1), np.float32)) is None


def test_an_array_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    (tmp_path / "one.npz").write_bytes(stream.getvalue())
    with pytest.raises(AuditError, match=r"no \.npz"):
        load_data(tmp_path / "one.npz", INT8, 3)
