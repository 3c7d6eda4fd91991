"""Shadow models: trained like the target, kept on disk, deployed like the target.

*Adaptive* shadows pass through whatever the target passes through: an attacker who knows that the
device runs int8 rounds the shadows to int8 too. :meth:`ShadowModels.outputs` takes that step as a
function.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from helpers._files import hashes, write_atomically
from helpers.errors import PrivacyError
from helpers.privacy._checks import require_whole
from helpers.privacy.membership.shadow_training import (
    ModelMaker,
    ShadowTraining,
    seeds_of,
    train_side_by_side,
)

# Changes a fresh model in place: (model, x, y, seed). For training that is not plain SGD.
Trainer = Callable[[tf.keras.Model, NDArray[np.float32], NDArray[np.int32], int], Any]
# What a device answers: inputs to scores, float (n, classes).
Predict = Callable[[NDArray[np.float32]], ArrayLike]
# Quantisation-aware training needs the model's own examples, so their positions come along.
Deploy = Callable[[tf.keras.Model, NDArray[np.int64]], Predict]

_PREDICT_BATCH = 512


def paired_halves(models: int, examples: int, seed: int) -> NDArray[np.bool_]:
    """Draw who is trained on what: random halves, each followed by the other half.

    Every example is in exactly half of the models and every model has exactly half of the
    examples (an odd one out stays with the second of a pair).

    Parameters
    ----------
    models
        Even number of models.
    examples
        Examples to share out.
    seed
        Of the halves.

    Returns
    -------
    bool array, shape ``(models, examples)``

    Raises
    ------
    PrivacyError
        If a number is out of range.
    """
    require_whole("models", models, at_least=2)
    require_whole("examples", examples, at_least=2)
    require_whole("seed", seed, at_least=0)
    if models % 2:
        raise PrivacyError(f"models={models} must be even: halves come in pairs.")
    rng = np.random.default_rng(seed)
    rows = np.zeros((models, examples), bool)
    for first in range(0, models, 2):
        rows[first, rng.permutation(examples)[: examples // 2]] = True
        rows[first + 1] = ~rows[first]
    return rows


def train_shadows(
    model_fn: ModelMaker,
    x: ArrayLike,
    y: ArrayLike,
    members: ArrayLike,
    training: ShadowTraining | Trainer | None = None,
    *,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    lanes: int = 2,
    progress: bool = True,
) -> ShadowModels:
    """Train one model on the examples of each row of ``members``.

    Each model is written to ``folder`` the moment it is done. A later call with the same arguments
    and folder trains only those that are missing, also after a kill. A model depends on ``seed``
    and its own row, not on the order of work or on what was found on disk.

    Parameters
    ----------
    model_fn
        Seed to a new, built model with one input and logits ``(n, classes)``.
    x, y
        All examples, float ``(n, ...)``, and their class indices ``(n,)``.
    members
        Which examples each model is trained on, bool ``(models, n)``; see :func:`paired_halves`.
    training
        Settings of the compiled training, or a function ``(model, x, y, seed)`` that trains a
        model in place, one after another: DP-SGD, say. None is ``ShadowTraining()``.
    seed
        Of initial weights and batches.
    folder
        Where to keep the models; None keeps them in memory alone. One folder, one set of models.
    lanes
        Models trained at the same time by the compiled training.
    progress
        Whether to show a progress bar.

    Returns
    -------
    ShadowModels
        All of them, in the order of ``members``.

    Raises
    ------
    PrivacyError
        If arrays or settings do not fit, training diverges, or the folder cannot be written to or
        holds another set of models; the message says what differs.
    """
    inputs, labels, inside = _checked(x, y, members)
    require_whole("lanes", lanes, at_least=1)
    how = ShadowTraining() if training is None else training
    store = None
    if folder is not None:
        store = _Store(Path(folder), _fingerprint(model_fn, inputs, labels, inside, how, seed))
    weights: list[list[NDArray[Any]] | None] = [
        None if store is None else store.load(index) for index in range(len(inside))
    ]
    missing = [index for index, found in enumerate(weights) if found is None]
    if isinstance(how, ShadowTraining):
        made = train_side_by_side(model_fn, inputs, labels, inside, how, missing, seed, lanes)
    else:
        made = _one_by_one(model_fn, inputs, labels, inside, how, missing, seed)
    bar = tqdm(
        total=len(inside),
        initial=len(inside) - len(missing),
        desc="shadow models",
        unit="model",
        disable=not progress,
    )
    with bar:
        for index, trained in made if missing else ():
            weights[index] = trained
            if store is not None:
                store.save(index, trained)
            bar.update()
    return ShadowModels(model_fn, inside, [found for found in weights if found is not None])


@dataclass(frozen=True, eq=False)
class ShadowModels:
    """Trained models and who was in each.

    Attributes
    ----------
    model_fn
        Seed to a new model of their kind.
    members
        bool ``(models, n)``.
    weights
        One list of arrays a model, as ``get_weights()`` gives them.
    """

    model_fn: ModelMaker
    members: NDArray[Any]
    weights: list[list[NDArray[Any]]]

    def __len__(self) -> int:
        return len(self.weights)

    def model(self, index: int) -> tf.keras.Model:
        """Return one model as Keras knows it; each call builds a new one."""
        model = self.model_fn(0)
        model.set_weights(self.weights[index])
        return model

    def outputs(
        self,
        x: ArrayLike,
        deploy: Deploy | None = None,
        *,
        name: str = "",
        folder: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> NDArray[np.float32]:
        """Ask every model about all inputs, after the deployment that the target went through.

        Parameters
        ----------
        x
            Inputs, float ``(n, ...)``.
        deploy
            Model, and the positions of the examples it was trained on, to what answers in its
            place, such as the ``predict`` of a converted file. None asks the model itself.
        name
            What the deployment is called, for the bar and for the files in ``folder``.
        folder
            Keeps each model's answers, so that a later call with the same models, inputs and
            ``name`` only asks those that are missing. Give every deployment a name of its own.
        progress
            Whether to show a progress bar.

        Returns
        -------
        float32 array, shape ``(models, n, classes)``

        Raises
        ------
        PrivacyError
            If a model answers in another shape or with NaN, or ``folder`` comes without ``name``.
        """
        inputs = np.asarray(x, np.float32)
        if folder is not None and not name:
            raise PrivacyError("folder needs a name: answers are kept under it.")
        answers: list[NDArray[np.float32]] = []
        for index in tqdm(
            range(len(self)), desc=name or "answers", unit="model", disable=not progress
        ):
            path = None if folder is None else self._answer_path(Path(folder), name, inputs, index)
            if path is not None and path.exists():
                answers.append(np.load(path, allow_pickle=False))
                continue
            own = np.flatnonzero(self.members[index])
            answer = _asked(self.model(index), own, deploy, inputs)
            if path is not None:
                write_atomically(path, partial(np.save, arr=answer))
            answers.append(answer)
        return np.stack(answers)

    def _answer_path(
        self, folder: Path, name: str, inputs: NDArray[np.float32], index: int
    ) -> Path:
        key = hashlib.sha256(f"{name} {hashes([inputs, *self.weights[index]])}".encode())
        return folder / f"answers-{index:04d}-{key.hexdigest()[:24]}.npy"


def _asked(
    model: tf.keras.Model,
    own: NDArray[np.int64],
    deploy: Deploy | None,
    inputs: NDArray[np.float32],
) -> NDArray[np.float32]:
    if deploy is None:
        parts = [
            model(inputs[start : start + _PREDICT_BATCH], training=False).numpy()
            for start in range(0, len(inputs), _PREDICT_BATCH)
        ]
        answer = np.concatenate(parts)
    else:
        answer = np.asarray(deploy(model, own)(inputs), np.float32)
    if answer.ndim != 2 or len(answer) != len(inputs) or not np.isfinite(answer).all():
        raise PrivacyError(
            f"A model answered with shape {answer.shape}, or NaN; expected finite scores "
            f"({len(inputs)}, classes)."
        )
    return np.asarray(answer, np.float32)


def _one_by_one(
    model_fn: ModelMaker,
    x: NDArray[np.float32],
    y: NDArray[np.int32],
    members: NDArray[np.bool_],
    train: Trainer,
    missing: list[int],
    seed: int,
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    for index in missing:
        start_seed, train_seed = seeds_of(seed, index)
        model = model_fn(start_seed)
        train(model, x[members[index]], y[members[index]], train_seed)
        yield index, [np.array(weight) for weight in model.get_weights()]


def _checked(
    x: ArrayLike, y: ArrayLike, members: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    inputs, labels, inside = np.asarray(x, np.float32), np.asarray(y), np.asarray(members)
    if labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu":
        raise PrivacyError(
            f"y is {labels.dtype} {labels.shape}; it must be integers ({len(inputs)},)."
        )
    if inside.dtype != bool or inside.ndim != 2 or inside.shape[1] != len(inputs):
        raise PrivacyError(
            f"members is {inside.dtype} {inside.shape}; it must be bool (models, {len(inputs)})."
        )
    if not np.isfinite(inputs).all():
        raise PrivacyError("x holds NaN or infinity; remove or impute those values.")
    return inputs, labels.astype(np.int32), inside


def _fingerprint(
    model_fn: ModelMaker,
    x: NDArray[np.float32],
    y: NDArray[np.int32],
    members: NDArray[np.bool_],
    training: ShadowTraining | Trainer,
    seed: int,
) -> dict[str, Any]:
    """Return everything that decides the models, as plain JSON values."""
    how: Any
    if isinstance(training, ShadowTraining):
        how = asdict(training)
    else:
        how = f"{training.__module__}.{getattr(training, '__qualname__', repr(training))}"
    model = model_fn(0)
    # Keras numbers the names of layers through the process, so names say nothing of a model.
    layers = [
        [type(layer).__name__, {k: v for k, v in layer.get_config().items() if k != "name"}]
        for layer in model.layers
    ]
    return {
        "layers": hashlib.sha256(json.dumps(layers, default=repr).encode()).hexdigest(),
        "initial_weights": hashes(model.get_weights()),
        "data": hashes([x, y]),
        "members": hashes([members]),
        "training": how,
        "seed": int(seed),
    }


class _Store:
    """Shadow models in a folder, one file each; damaged ones are trained again."""

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        self._folder = folder
        note = folder / "shadows.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if note.exists():
                self._require_same(json.loads(note.read_text()), fingerprint)
            else:
                write_atomically(note, json.dumps(fingerprint, indent=2))
        except OSError as error:
            raise PrivacyError(
                f"folder={str(folder)!r} cannot be used ({error.strerror}): choose one of your own."
            ) from error
        except ValueError as error:
            raise PrivacyError(f"{note} is damaged: delete it and the models beside it.") from error

    def _require_same(self, written: Any, fingerprint: dict[str, Any]) -> None:
        before = written if isinstance(written, dict) else {}
        differing = sorted(key for key in fingerprint if before.get(key) != fingerprint[key])
        if differing:
            raise PrivacyError(
                f"{self._folder} holds another set of shadow models: {', '.join(differing)} "
                "differ. Use another folder, or delete this one to start afresh."
            )

    def save(self, index: int, weights: list[NDArray[Any]]) -> None:
        named = {f"w{position:03d}": weight for position, weight in enumerate(weights)}
        digest = np.array(hashes(weights))
        write_atomically(self._path(index), lambda file: np.savez(file, sha256=digest, **named))

    def load(self, index: int) -> list[NDArray[Any]] | None:
        path = self._path(index)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as archive:
                names = sorted(name for name in archive.files if name != "sha256")
                weights = [archive[name] for name in names]
                whole = str(archive["sha256"]) == hashes(weights)
        # A damaged zip archive raises anything from BadZipFile to EOFError and zlib.error.
        except Exception:
            whole = False
        if not whole:
            warnings.warn(f"{path} is damaged; its model is trained again.", stacklevel=4)
            return None
        return weights

    def _path(self, index: int) -> Path:
        return self._folder / f"shadow-{index:04d}.npz"
