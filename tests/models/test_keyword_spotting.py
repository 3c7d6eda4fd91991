"""The keyword spotter of MLPerf Tiny, and the course's recipe to train it."""

import os
from pathlib import Path

import numpy as np
import pytest

from helpers import data, models
from helpers.data import audio, speech_synthesis
from helpers.data.speech_plan import Recipe
from helpers.errors import DivergenceError, TaskError

WORDS = ("yes", "no", "left", "stop")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Features and labels of four synthetic words; the test voices are unseen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESEC_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = speech_synthesis.synthesise(Recipe(WORDS, clips=(120, 1, 40)), progress=False)
    return {
        key: audio.mfcc(audio.to_float(values)) if key.startswith("x_") else values
        for key, values in made.items()
    }


def accuracy(model, features: np.ndarray, labels: np.ndarray) -> float:  # type: ignore[no-untyped-def]
    return float(np.mean(np.argmax(model.predict(features, verbose=0), axis=1) == labels))


def test_it_has_the_parameter_counts_of_the_reference_implementation() -> None:
    model = models.ds_cnn()
    assert model.count_params() == 24_908
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 23_756


def test_it_has_the_layers_of_the_reference_implementation() -> None:
    kernels = [
        layer.get_weights()[0].shape
        for layer in models.ds_cnn().layers
        if "conv" in layer.name or "dense" in layer.name
    ]
    block = [(3, 3, 64, 1), (1, 1, 64, 64)]
    assert kernels == [(10, 4, 1, 64), *(4 * block), (64, 12)]


def test_without_batch_norm_each_example_is_treated_by_itself() -> None:
    model = models.ds_cnn(batch_norm=False, dropout=(0, 0))
    assert model.count_params() == 22_604
    assert not model.non_trainable_weights
    x = np.random.default_rng(0).normal(size=(5, 49, 10, 1)).astype(np.float32)
    alone = model(x[2:3], training=True)
    np.testing.assert_allclose(model(x, training=True)[2:3], alone, atol=1e-4)


def test_the_seed_alone_decides_the_first_logits() -> None:
    x = np.random.default_rng(0).normal(size=(3, 49, 10, 1)).astype(np.float32)
    first, again, other = (models.ds_cnn(seed=s)(x).numpy() for s in (1, 1, 2))
    assert first.shape == (3, 12)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dropout", [(0.1,), (1.0, 0.1), (-0.1, 0.1)])
def test_a_dropout_that_is_no_share_is_refused(dropout: tuple[float, float]) -> None:
    with pytest.raises(TaskError, match="dropout"):
        models.ds_cnn(dropout=dropout)


def test_a_minute_shortened_to_seconds_still_learns_words_in_unseen_voices(
    spoken: dict[str, np.ndarray],
) -> None:
    model = models.ds_cnn(num_classes=4)
    losses = models.fit_keywords(
        model, spoken["x_train"], spoken["y_train"], epochs=8, batch_size=32, progress=False
    )
    assert losses.shape == (8,)
    assert losses[-1] < 0.5 * losses[0]
    # chance is .25; its standard error over 160 clips is .034
    assert accuracy(model, spoken["x_test"], spoken["y_test"]) > 0.6


def test_without_batch_norm_the_signal_keeps_its_size_and_words_are_learnt(
    spoken: dict[str, np.ndarray],
) -> None:
    model = models.ds_cnn(num_classes=4, batch_norm=False, dropout=(0, 0))
    x = spoken["x_train"][:64]
    sizes = []
    for layer in model.layers:
        x = layer(x)
        if "conv" in layer.name:
            sizes.append(float(np.std(x)))
    assert max(sizes) < 20 * min(sizes)
    losses = models.fit_keywords(
        model,
        spoken["x_train"],
        spoken["y_train"],
        epochs=8,
        batch_size=32,
        learning_rate=2e-3,
        progress=False,
    )
    # log 4 is chance; over four orders of the clips the last loss was .45 to .54 of it
    assert losses[-1] < 0.7 * np.log(4)


def test_the_seed_decides_the_training() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 49, 10, 1)).astype(np.float32), rng.integers(0, 12, 24)
    trained = []
    for seed in (0, 0, 1):
        model = models.ds_cnn(dropout=(0, 0))
        trained.append(models.fit_keywords(model, x, y, 2, 8, seed=seed, progress=False))
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-3)
    assert not np.allclose(trained[0], trained[2], rtol=1e-3)


def test_versions_are_drawn_for_each_clip_and_change_the_training() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 49, 10, 1)).astype(np.float32), rng.integers(0, 12, 24)
    losses = []
    for versions in ((), (x,), (x + 1.0,)):
        model = models.ds_cnn(dropout=(0, 0))
        losses.append(models.fit_keywords(model, x, y, 2, 8, progress=False, versions=versions))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)  # the same clips: nothing changes
    assert not np.allclose(losses[0], losses[2], rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(3, int)}, "2 clips and 3 labels"),
        ({"features": np.full((2, 49, 10, 1), np.nan, np.float32)}, "NaN"),
        ({"versions": [np.zeros((3, 49, 10, 1))]}, "must all be the same"),
        ({"epochs": 0}, "epochs=0"),
        ({"learning_rate": 0.0}, r"learning_rate=0\.0"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(changes: dict, message: str) -> None:
    good = {"features": np.zeros((2, 49, 10, 1), np.float32), "labels": np.zeros(2, int)}
    with pytest.raises(TaskError, match=message):
        models.fit_keywords(None, **(good | changes))


def test_a_loss_that_is_not_a_number_ends_the_training() -> None:
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.layers.Flatten(), tf.keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(8, 49, 10, 1)).astype(np.float32)
    with pytest.raises(DivergenceError, match=r"lower the learning rate of 1e\+38"):
        models.fit_keywords(model, x, np.arange(8) % 2, 2, 2, learning_rate=1e38, progress=False)


def test_what_synthetic_training_is_worth_on_human_speech_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    if not (Path(os.environ.get("EDGESEC_DATA") or "/dev/null") / "free-spoken-digits").is_dir():
        pytest.skip("no free-spoken-digits in the folder EDGESEC_DATA: no human speech to try")
    human = data.spoken_digits("full")
    monkeypatch.setenv("EDGESEC_CACHE", str(tmp_path))
    made = speech_synthesis.synthesise(
        Recipe(human.class_names, clips=(150, 1, 30)), progress=False
    )
    model = models.ds_cnn(num_classes=10)
    train = audio.mfcc(audio.to_float(made["x_train"]))
    models.fit_keywords(model, train, made["y_train"], epochs=8, batch_size=32, progress=False)
    synthetic = accuracy(model, audio.mfcc(audio.to_float(made["x_test"])), made["y_test"])
    heard = accuracy(model, audio.mfcc(human.x_test), human.y_test)
    with capsys.disabled():
        print(
            f"\nkeyword spotter trained on {len(train):,} synthetic digits: {synthetic:.1%} on "
            f"{len(made['y_test'])} synthetic clips in unseen voices, {heard:.1%} on "
            f"{len(human.y_test)} human recordings"
        )
    # Chance is .1, its standard error over 300 clips .017: it hears something, and far less.
    assert 0.18 < heard < synthetic - 0.1


def test_a_narrow_and_shallow_network_for_measurements() -> None:
    model = models.ds_cnn(num_classes=3, channels=8, blocks=1)
    assert model.output_shape == (None, 3)
    kernels = [w.shape for w in model.trainable_weights if len(w.shape) == 4]
    assert kernels == [(10, 4, 1, 8), (3, 3, 8, 1), (1, 1, 8, 8)]
    with pytest.raises(TaskError, match="blocks=0"):
        models.ds_cnn(blocks=0)
