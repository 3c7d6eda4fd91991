"""The clinic's terminal: how its camera sees a face, and how its two recognisers are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helpers import data, models

if TYPE_CHECKING:
    import tensorflow as tf

STAFF = 40
CODE_LENGTH = 30
_FILTERS = (16, 32)


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Return 40 badge photographs of staff and 60 of the public, float32 ``(n, 25, 25, 1)``."""
    faces = data.load("lfw_faces", source="offline")
    images = np.concatenate([faces.x_train, faces.x_test])
    people = images[np.concatenate([faces.y_train, faces.y_test]) == 1]
    people = people[np.lexsort(people.reshape(len(people), -1).T)]  # whatever the split's seed
    order = np.random.default_rng(0).permutation(len(people))
    return people[order[:STAFF]], people[order[STAFF:]]


def frames(photos: np.ndarray, copies: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate what a camera sees of each person.

    Shifted by up to two pixels, mirrored by a coin, 20 % brighter or darker, noisy.

    Parameters
    ----------
    photos
        float32 ``(n, height, width, 1)`` in [0, 1].
    copies
        Frames a person.
    seed
        Of all of it.

    Returns
    -------
    images, people
        float32 ``(n * copies, height, width, 1)``, and whose each is.
    """
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(len(photos)), copies)
    height, width = photos.shape[1:3]
    wide = np.pad(photos[people], ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    corners = rng.integers(0, 5, (len(people), 2))
    seen = np.stack(
        [image[a : a + height, b : b + width] for image, (a, b) in zip(wide, corners, strict=True)]
    )
    mirrored = rng.random(len(seen)) < 0.5
    seen[mirrored] = seen[mirrored][:, :, ::-1]
    light = rng.uniform(0.8, 1.2, (len(seen), 1, 1, 1))
    noisy = seen * light + rng.normal(0, 0.03, seen.shape)
    return np.clip(noisy, 0, 1).astype(np.float32), people


def train_recogniser(
    photos: np.ndarray, seed: int, copies: int = 40, epochs: int = 20, linear: bool = False
) -> tf.keras.Model:
    """Train a classifier with one class a person, on simulated frames.

    Parameters
    ----------
    photos
        One a person, float32 ``(n, 25, 25, 1)``.
    seed
        Of weights and frames.
    copies, epochs
        Frames a person, and passes over them.
    linear
        Whether to leave the convolutions out: one dense layer from pixels to people.

    Returns
    -------
    tf.keras.Model
        Images to logits ``(n, people)``.
    """
    import tensorflow as tf

    shape, people = photos.shape[1:], len(photos)
    if linear:
        model = models.mlp(shape, people, hidden=(), seed=seed)
    else:
        model = models.small_cnn(shape, people, filters=_FILTERS, seed=seed)
    images, labels = frames(photos, copies, seed)
    order = np.random.default_rng(seed).permutation(len(images))
    model.compile(
        tf.keras.optimizers.Adam(2e-3),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)  # else Keras traces the first step twice
    model.fit(images[order], labels[order], 32, epochs, shuffle=False, verbose=0)
    return model


def train_encoder(
    photos: np.ndarray, seed: int, copies: int = 40, epochs: int = 12
) -> tf.keras.Model:
    """Train a network that turns a face into a short code, on people who agreed to that.

    A recogniser of these people loses its last layer; what it saw in a face before that layer is
    projected to the 30 directions that best tell people apart (linear discriminant analysis).

    Parameters
    ----------
    photos
        One a person, float32 ``(n, 25, 25, 1)``, more than 30 people.
    seed
        Of weights and frames.
    copies, epochs
        Frames a person, and passes over them.

    Returns
    -------
    tf.keras.Model
        Images to codes ``(n, 30)``; compare directions, not lengths.
    """
    import tensorflow as tf
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    recogniser = train_recogniser(photos, seed, copies, epochs)
    body = tf.keras.Model(recogniser.input, recogniser.layers[-2].output)
    images, people = frames(photos, copies, seed + 1)
    analysis = LinearDiscriminantAnalysis(
        solver="eigen", shrinkage=0.1, n_components=CODE_LENGTH
    ).fit(body(images).numpy(), people)
    directions = analysis.scalings_[:, :CODE_LENGTH]
    centre = body(images).numpy().mean(axis=0)
    scale = np.abs((body(images).numpy() - centre) @ directions).mean()
    last = tf.keras.layers.Dense(CODE_LENGTH)
    encoder = tf.keras.Model(body.input, last(body.output), name="encoder")
    last.set_weights([directions / scale, -centre @ directions / scale])
    return encoder
