"""The network, its training and the file that ships."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf

from helpers import data, models
from helpers.data.annotated import Annotated
from helpers.edge.convert import to_tflite
from helpers.edge.runtimes import open_model
from helpers.errors import RobustnessError
from helpers.robustness import detection


@pytest.fixture(scope="module")
def scenes() -> Annotated:
    return data.aerial_scenes(24, 1, side=64).train


@pytest.fixture(scope="module")
def new() -> detection.Detector:
    """Untrained; no test changes it."""
    return detection.Detector(detection.build_ssd(2, side=64), ("car", "large vehicle"))


@pytest.fixture(scope="module")
def untrained(new: detection.Detector) -> tf.keras.Model:
    return new.model


shipped = cache(detection.pretrained)  # no test changes one


def test_the_network_answers_for_every_anchor_and_starts_from_its_seed(
    new: detection.Detector,
) -> None:
    one = new.model
    again, other = (detection.build_ssd(2, side=64, seed=seed) for seed in (0, 1))
    assert one.output_shape == (None, len(detection.ssd_anchors(64)), 6)
    assert all(map(np.array_equal, one.get_weights(), again.get_weights()))
    assert not all(map(np.array_equal, one.get_weights(), other.get_weights()))
    # untrained, it says "nothing here" nearly everywhere
    raw = new.raw(np.zeros((1, 64, 64, 3), "f4"))
    assert (1 / (1 + np.exp(-raw[..., :2])) < 0.1).all()
    with pytest.raises(RobustnessError, match="side=50"):
        detection.build_ssd(2, side=50)
    with pytest.raises(RobustnessError, match="width"):
        detection.build_ssd(2, width=0.4)


def test_a_detector_answers_with_the_weights_that_its_network_has_now(
    scenes: Annotated, new: detection.Detector
) -> None:
    network = detection.build_ssd(2, side=64)
    detector = detection.Detector(network, ("car", "large vehicle"))
    for images, factor in ((scenes.images[:5], 1.0), (scenes.images[:1], 0.9)):
        network.set_weights([factor * weight for weight in network.get_weights()])
        expected = network(images, training=False).numpy()
        np.testing.assert_allclose(detector.raw(images), expected, rtol=1e-5, atol=1e-5)
    before = new.raw(images)
    assert np.abs(before - expected).max() > 0.01
    with pytest.raises(RobustnessError, match=r"\(1, 32, 64, 3\).*\(n, 64, 64, 3\)"):
        detector.raw(images[:, :32])
    np.testing.assert_array_equal(copy.deepcopy(detector).raw(images), detector.raw(images))


def test_training_that_was_killed_goes_on_where_it_was(
    scenes: Annotated, untrained: tf.keras.Model, tmp_path: Path
) -> None:
    def train() -> tuple[list[detection.EpochRecord], list[np.ndarray]]:
        model = detection.build_ssd(2, side=64)
        records = detection.train_detector(
            model, scenes, 3, 24, checkpoint_dir=tmp_path, progress=False
        )
        return records, model.get_weights()

    whole, weights = train()
    assert [record.epoch for record in whole] == [1, 2, 3]
    (tmp_path / "epoch-000003.json").unlink()  # as if killed before the last was written
    resumed, again = train()
    assert [record.epoch for record in resumed] == [1, 2, 3]
    assert resumed[:2] == whole[:2]
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    with pytest.raises(RobustnessError, match="seed was 0"):
        detection.train_detector(untrained, scenes, 3, 24, seed=1, checkpoint_dir=tmp_path)


def test_training_names_what_does_not_fit(scenes: Annotated, untrained: tf.keras.Model) -> None:
    with pytest.raises(RobustnessError, match="network takes"):
        detection.train_detector(untrained, data.aerial_scenes(1, 1, side=32).train)
    strange = replace(scenes, labels=tuple(labels + 7 for labels in scenes.labels))
    with pytest.raises(RobustnessError, match="knows 2 classes"):
        detection.train_detector(untrained, strange)
    with pytest.raises(RobustnessError, match="epochs=0"):
        detection.train_detector(untrained, scenes, epochs=0)


@pytest.mark.parametrize("name", ["plain", "physical"])
def test_what_ships_finds_vehicles_in_int8_too(name: detection.PretrainedName) -> None:
    weights = Path(models.__file__).parent / "weights" / f"ssd_aerial_{name}.npz"
    assert weights.stat().st_size < 600_000
    detector = shipped(name)
    streets = data.aerial_scenes(40, 60, seed=11)
    truth = detection.truths(streets.test)
    scores = detection.coco_map(truth, detector.detect(streets.test.images))
    artefact = to_tflite(detector.model, "int8", streets.train.images, float_edges=True)
    with open_model(artefact) as file:
        raw = file.predict(streets.test.images)
    found = detection.decode_predictions(raw, detector.anchors)
    quantised = detection.coco_map(truth, found)
    assert scores.map50 > 0.85
    assert quantised.map50 > scores.map50 - 0.03
    assert detection.voc_map(truth, found)[0] == pytest.approx(quantised.map50, abs=0.03)


@pytest.mark.parametrize("name", get_args(detection.PretrainedName))
def test_every_detector_that_ships_sees_clear_streets(name: detection.PretrainedName) -> None:
    streets = data.aerial_scenes(1, 40, seed=12).test
    found = shipped(name).detect(streets.images)
    assert detection.coco_map(detection.truths(streets), found).map50 > 0.85


def test_there_are_four_to_choose_from() -> None:
    with pytest.raises(RobustnessError, match="plain, generic, physical, adversarial"):
        detection.pretrained("other")  # type: ignore[arg-type]
