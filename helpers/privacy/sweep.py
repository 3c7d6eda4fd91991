"""One figure for a deployment's utility, membership leak and inversion, precision by precision.

The room of devices prepares the variants: this module is handed functions from a model to what
answers in its place, and knows nothing of files, runtimes or bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import PrivacyError
from helpers.privacy.membership.lira import leave_one_out
from helpers.privacy.membership.signals import Kind, scaled_confidence
from helpers.privacy.membership.summary import leakage
from helpers.privacy.membership.threshold import Estimate

if TYPE_CHECKING:
    import tensorflow as tf
    from matplotlib.figure import Figure

    from helpers.privacy.membership.shadows import Deploy, ShadowModels


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to put the models on a device.

    Attributes
    ----------
    name
        Unique within a sweep, such as ``"int8"``.
    deploy
        Keras model, and the positions of the examples it was trained on, to what answers in its
        place: inputs to scores ``(n, classes)``. Every shadow goes through it like the target. None
        asks the model as trained.
    shadows
        Models trained in another way, for variants such as DP; None takes those of the sweep.
    invert
        The same two to a score of the inversion attack on the deployed form, from -1 to 1: the
        share of records or classes recognised, or a correlation. None leaves it out.
    kind
        Whether the scores are logits or probabilities.
    """

    name: str
    deploy: Deploy | None = None
    shadows: ShadowModels | None = None
    invert: Callable[[tf.keras.Model, NDArray[np.int64]], float] | None = None
    kind: Kind = "logits"


@dataclass(frozen=True)
class SweepRow:
    """What one variant is worth and what it gives away, in plain numbers.

    Attributes
    ----------
    name
        Of the variant.
    utility
        Test accuracy, mean over all models, with the smallest and largest.
    auc
        Area of the likelihood-ratio attack on every model in turn, the others as adaptive shadows.
    tpr
        ``{limit: share of members found}`` by it with at most so many false positives.
    inversion
        Mean, smallest and largest score over the models inverted; None where it was left out.
    agreement
        Share of test inputs whose label is the one that the first variant gives.
    """

    name: str
    utility: Estimate
    auc: Estimate
    tpr: dict[float, Estimate]
    inversion: Estimate | None
    agreement: float

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        values = asdict(self)
        values["tpr"] = [[limit, asdict(found)] for limit, found in self.tpr.items()]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SweepRow:
        """Return the row that :meth:`to_json` wrote.

        Raises
        ------
        PrivacyError
            If it is none.
        """
        try:
            return cls(
                str(values["name"]),
                Estimate(**values["utility"]),
                Estimate(**values["auc"]),
                {float(limit): Estimate(**found) for limit, found in values["tpr"]},
                None if values["inversion"] is None else Estimate(**values["inversion"]),
                float(values["agreement"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PrivacyError(f"This is no row of a sweep: {error!r}.") from error


def bitwidth_sweep(
    variants: Sequence[Variant],
    shadows: ShadowModels,
    x: ArrayLike,
    y: ArrayLike,
    x_test: ArrayLike,
    y_test: ArrayLike,
    *,
    limits: Sequence[float] = (0.001, 0.01),
    inverted: int = 1,
    folder: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> list[SweepRow]:
    """Measure utility, membership leak and inversion of every variant on the same models.

    Parameters
    ----------
    variants
        At least one; the first is what ``agreement`` compares with.
    shadows
        The models: each is attacked in turn with the others as its shadows.
    x, y
        The examples that the models were trained on, in the order of ``shadows.members``.
    x_test, y_test
        Inputs that no model has seen, for the utility.
    limits
        False-positive rates of the membership attack.
    inverted
        How many models to invert, from the first on.
    folder
        Keeps the answers of every model and variant: a sweep that was killed goes on where it was.
    seed
        Of the intervals.
    progress
        Whether to show progress bars.

    Returns
    -------
    list of SweepRow
        One a variant, in order.

    Raises
    ------
    PrivacyError
        If names repeat, shapes do not fit, or an inversion score leaves [-1, 1].
    """
    _require_unique(variants)
    labels, test_labels = np.asarray(y), np.asarray(y_test)
    queries = np.concatenate([np.asarray(x, np.float32), np.asarray(x_test, np.float32)])
    rows: list[SweepRow] = []
    reference: NDArray[Any] | None = None
    for variant in variants:
        chosen = variant.shadows or shadows
        if chosen.members.shape[1] != len(labels):
            raise PrivacyError(
                f"{variant.name}: the models were trained on some of {chosen.members.shape[1]} "
                f"examples; x holds {len(labels)}."
            )
        outputs = chosen.outputs(
            queries, variant.deploy, name=variant.name, folder=folder, progress=progress
        )
        confidence = scaled_confidence(outputs[:, : len(labels)], labels, variant.kind)
        said = outputs[:, len(labels) :].argmax(axis=-1)
        reference = said if reference is None else reference
        scores = leave_one_out(confidence, chosen.members)
        found = leakage(scores, chosen.members, limits, seed=seed)
        rows.append(
            SweepRow(
                variant.name,
                _spread((said == test_labels).mean(axis=1)),
                found.auc,
                found.tpr,
                _inverted(variant, chosen, inverted),
                _agreement(said, reference),
            )
        )
    return rows


def sweep_figure(rows: Sequence[SweepRow], limit: float, figure: Figure | None = None) -> Figure:
    """Draw utility, membership and inversion side by side, one line a variant.

    Parameters
    ----------
    rows
        From :func:`bitwidth_sweep`.
    limit
        False-positive rate whose true-positive rate to draw; one of the sweep's limits.
    figure
        Figure to draw on; a new one when left out.

    Returns
    -------
    Figure
        Three panels, or two where nothing was inverted.

    Raises
    ------
    PrivacyError
        If there is nothing to draw or the sweep has no such limit.
    """
    import matplotlib.pyplot as plt

    from helpers import plots

    if not rows or any(limit not in row.tpr for row in rows):
        raise PrivacyError(f"limit={limit} is none of the sweep's, or there is no row to draw.")
    panels: dict[str, list[Estimate | None]] = {
        "test accuracy": [row.utility for row in rows],
        f"members found\nat {100 * limit:g}% false positives": [row.tpr[limit] for row in rows],
    }
    if any(row.inversion is not None for row in rows):
        panels["inversion score"] = [row.inversion for row in rows]
    size = (3.4 * len(panels), 1.3 + 0.42 * len(rows))
    figure = figure or plt.figure(figsize=size, facecolor="white", layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    places = np.arange(len(rows))
    for index, (ax, (title, estimates)) in enumerate(zip(axes, panels.items(), strict=True)):
        for place, found in enumerate(estimates):
            if found is not None:
                colour = plots.COLOURS[index]
                ax.plot([found.low, found.high], [place, place], "-", color=colour, linewidth=3)
                ax.plot(found.value, place, "o", color=colour)
        ax.set(xlabel=title, yticks=places, xlim=(0, None))
        ax.grid(True, axis="x")
    axes[0].set_yticks(places, [row.name for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _require_unique(variants: Sequence[Variant]) -> None:
    names = [variant.name for variant in variants]
    if not names or len(set(names)) != len(names) or not all(names):
        raise PrivacyError(f"variants must have names of their own; got {names}.")


def _spread(values: NDArray[np.floating[Any]]) -> Estimate:
    return Estimate(float(values.mean()), float(values.min()), float(values.max()))


def _agreement(said: NDArray[Any], reference: NDArray[Any]) -> float:
    models = min(len(said), len(reference))
    return float((said[:models] == reference[:models]).mean())


def _inverted(variant: Variant, shadows: ShadowModels, count: int) -> Estimate | None:
    if variant.invert is None:
        return None
    found = np.array(
        [
            variant.invert(shadows.model(index), np.flatnonzero(shadows.members[index]))
            for index in range(min(count, len(shadows)))
        ]
    )
    if not len(found) or not (np.abs(found) <= 1).all():
        raise PrivacyError(f"{variant.name}: inversion scores {found} must lie in [-1, 1].")
    return _spread(found)
