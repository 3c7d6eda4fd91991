"""Randomised smoothing: let the model vote on noisy copies of an input, and certify the majority.

The smoothed classifier answers with the class that the model gives most often under Gaussian noise.
If that class has probability p, no change of the input shorter than ``sigma`` times the normal
quantile of p can take the majority away from it, whatever the model is (Cohen, Rosenfeld and
Kolter, *Certified adversarial robustness via randomized smoothing*, ICML 2019). Nothing is asked of
the model, so it may be the int8 file on the device: rounding and clipping are part of it, and the
certificate holds for what ships. It holds for the *vote*, which the device must then take too; a
single run of the file has no certificate.

**What the proof leaves out.** It is about real numbers. Noise drawn and added in floating point is
not quite Gaussian and not quite a shift of the same noise, and a model made to look at the lowest
bits can be given a radius that is false (Voráček and Hein, *Sound randomized smoothing in
floating-point arithmetic*, ICLR 2023; rounding breaks other certificates too: Jin, Ohrimenko and
Rubinstein, *Getting a-round guarantees: floating-point attacks on certified robustness*, 2022).
An int8 file sees none of those bits, as the noisy input is rounded to one of 256 codes first; what
remains is that the generator only approximates the Gaussian, and is not truly random.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from tqdm import tqdm

from helpers._files import hashes
from helpers.errors import RobustnessError
from helpers.robustness._checks import require_choice, require_positive, require_whole
from helpers.robustness.certification.log import VoteLog
from helpers.robustness.certification.noise import NOISE, Encode, Kind, Source
from helpers.robustness.certification.outcome import Certification, Votes
from helpers.robustness.certification.radius import Guarantee, alpha_of_each, require_alpha

if TYPE_CHECKING:
    import tensorflow as tf

ABSTAIN = -1
SELECTION, ESTIMATION = 0, 1
TOGETHER = 8  # images that share noise as it is drawn, and are lost together by a kill
_MOST_VOTES = 10_000_000


@dataclass(frozen=True)
class Smoothing:
    """How to smooth, and what to promise.

    Attributes
    ----------
    sigma
        Standard deviation of the noise, in the unit of what it is added to: of an input in [0, 1]
        for pixels and brightness, of the logarithm of the contrast for ``"contrast"``.
    num_samples
        Votes that bound the probability of the class.
    num_selection
        Votes before them, which choose the class. They must be others: votes that chose the class
        cannot also say how probable it is.
    alpha
        Error probability promised.
    guarantee
        Of ``alpha``: ``"each"`` certificate by itself, or ``"all"`` together. See
        :func:`~helpers.robustness.certification.radius.alpha_of_each`.
    over
        What the noise moves: ``"pixels"``, each by itself, and the radius is an L2 norm of the
        change; ``"brightness"`` or ``"contrast"`` of the whole image, and the radius is a bound of
        that one number. See :mod:`helpers.robustness.certification.light`.
    seed
        Of the noise.

    Raises
    ------
    RobustnessError
        If a setting is out of its range.
    """

    sigma: float
    num_samples: int = 10_000
    num_selection: int = 100
    alpha: float = 0.001
    guarantee: Guarantee = "each"
    over: Kind = "pixels"
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive("sigma", self.sigma)
        for name in ("num_samples", "num_selection"):
            require_whole(name, getattr(self, name), at_least=1)
            if getattr(self, name) > _MOST_VOTES:
                raise RobustnessError(f"{name}={getattr(self, name)} is more than {_MOST_VOTES}.")
        require_alpha(self.alpha)
        require_choice("guarantee", self.guarantee, get_args(Guarantee))
        require_choice("over", self.over, get_args(Kind))
        require_whole("seed", self.seed, at_least=0)


class CodeRunner(Protocol):
    """An open model file that can be asked in its own numbers, as ``helpers.edge`` opens them.

    Attributes
    ----------
    contract
        With the ``inputs`` that the file takes, each with ``encode``.
    """

    contract: Any

    def run_codes(self, *inputs: ArrayLike) -> tuple[NDArray[Any], ...]:
        """Run the model on the file's own numbers."""


@dataclass(frozen=True)
class Classifier:
    """What votes.

    Attributes
    ----------
    ask
        Inputs ``(n, ...)`` to scores ``(n, classes)`` of any number type; the vote is for the first
        of the largest. The same input must always get the same answer.
    encode
        Turns float32 inputs into what ``ask`` takes; it runs in the thread that draws the noise.
    sha256
        Hash of the artefact, in hexadecimal; it goes into the log and the certificate, which need
        one.
    """

    ask: Callable[[NDArray[Any]], NDArray[Any]]
    encode: Encode | None = None
    sha256: str = ""

    @classmethod
    def deployed(cls, runner: CodeRunner, artefact: bytes) -> Classifier:
        """Vote with a model file, in its own numbers: what ships is what is certified.

        Parameters
        ----------
        runner
            ``open_model(artefact)`` of ``helpers.edge.runtimes``.
        artefact
            The bytes of the file, for their hash.
        """
        return cls(
            lambda codes: runner.run_codes(codes)[0],
            runner.contract.inputs[0].encode,
            hashlib.sha256(artefact).hexdigest(),
        )

    @classmethod
    def of_model(cls, model: tf.keras.Model) -> Classifier:
        """Vote with a Keras model, compiled into one graph."""
        import tensorflow as tf

        answer = tf.function(lambda rows: model(rows, training=False), reduce_retracing=True)
        digest = hashes(model.get_weights())
        return cls(lambda rows: cast(NDArray[Any], answer(tf.constant(rows)).numpy()), None, digest)

    def votes(self, batch: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
        """Return the votes, int64 ``(n,)``, and the number of classes.

        Raises
        ------
        RobustnessError
            If the scores do not have one row an input and two columns or more, or hold NaN.
        """
        scores = np.asarray(self.ask(batch))
        if scores.ndim != 2 or len(scores) != len(batch) or scores.shape[1] < 2:
            raise RobustnessError(
                f"The model answered {len(batch)} inputs with scores of shape {scores.shape}: "
                "expected (n, classes), one row an input and at least two classes. A single score "
                "needs a second column, such as one less the first."
            )
        if scores.dtype.kind == "f" and np.isnan(scores).any():
            raise RobustnessError("The model answered with NaN, which is no vote.")
        return np.argmax(scores, axis=1), scores.shape[1]


def certify(
    classifier: Classifier,
    images: ArrayLike,
    smoothing: Smoothing,
    *,
    batch_size: int = 256,
    log: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Certification:
    """Certify the smoothed classifier on each image: CERTIFY of Cohen et al. (2019), section 3.2.2.

    The class with most of the selecting votes is the candidate; a second set of votes bounds its
    probability from below. If the bound is at most one half, the answer is to abstain.

    Parameters
    ----------
    classifier
        What votes.
    images
        ``(n, ...)``, finite. What noise takes out of [0, 1] is the model's affair.
    smoothing
        Noise, votes and promise.
    batch_size
        Most noisy copies at a time: all the memory that this needs, whatever the number of votes.
    log
        A file to which finished images are appended, a few at a time; a run that was killed goes on
        from it.
    progress
        Whether to show a progress bar.

    Returns
    -------
    Certification
        Votes, labels and radii, in the order of the images.

    Raises
    ------
    RobustnessError
        If an image or a setting cannot be used, or the log belongs to another run.
    """
    clean = _checked(images)
    require_whole("batch_size", batch_size, at_least=1)
    if log is not None and not classifier.sha256:
        raise RobustnessError(
            "A log must know its model, or another could go on with it: give the classifier sha256."
        )
    each = alpha_of_each(smoothing.alpha, len(clean), smoothing.guarantee)
    stored = {**asdict(smoothing), "artefact": classifier.sha256, "images": hashes([clean])}
    stored["noise"] = NOISE
    kept = VoteLog(log, stored) if log is not None else None
    done: dict[int, Votes] = dict(kept.votes) if kept is not None else {}
    source = _source(classifier, clean, smoothing, batch_size)
    todo = [image for image in range(len(clean)) if image not in done]
    each_votes = smoothing.num_selection + smoothing.num_samples
    with _bar(len(clean), len(done), each_votes, progress) as bar:
        for start in range(0, len(todo), TOGETHER):
            group = todo[start : start + TOGETHER]
            selection = _tallies(classifier, source, group, SELECTION, smoothing, bar)
            counts = _tallies(classifier, source, group, ESTIMATION, smoothing, bar)
            for image in group:
                done[image] = Votes(tuple(selection[image].tolist()), tuple(counts[image].tolist()))
                if kept is not None:
                    kept.append(image, done[image])
    votes = [done[image] for image in range(len(clean))]
    return Certification.of_votes(votes, smoothing, each, classifier.sha256, stored["images"])


def predict(
    classifier: Classifier,
    images: ArrayLike,
    smoothing: Smoothing,
    *,
    batch_size: int = 256,
    progress: bool = False,
) -> NDArray[np.int64]:
    """Answer as the smoothed classifier does: PREDICT of Cohen et al. (2019), section 3.2.1.

    Parameters
    ----------
    classifier
        What votes.
    images
        ``(n, ...)``, finite.
    smoothing
        ``num_samples`` votes are taken; ``num_selection`` plays no part.
    batch_size
        Most noisy copies at a time.
    progress
        Whether to show a progress bar.

    Returns
    -------
    numpy.ndarray
        int64 ``(n,)``: the class, or -1 where the two first classes are too close to tell. A class
        that is returned is the smoothed classifier's with probability at least one less ``alpha``.

    Raises
    ------
    RobustnessError
        If an image or a setting cannot be used.
    """
    clean = _checked(images)
    require_whole("batch_size", batch_size, at_least=1)
    alpha = alpha_of_each(smoothing.alpha, len(clean), smoothing.guarantee)
    source = _source(classifier, clean, smoothing, batch_size)
    labels = np.empty(len(clean), np.int64)
    with _bar(len(clean), 0, smoothing.num_samples, progress) as bar:
        for start in range(0, len(clean), TOGETHER):
            group = list(range(start, min(start + TOGETHER, len(clean))))
            tallies = _tallies(classifier, source, group, ESTIMATION, smoothing, bar)
            labels[group] = [majority(tallies[image], alpha) for image in group]
    return labels


def majority(tally: ArrayLike, alpha: float) -> int:
    """Return the class with most votes, or -1 if the first two may well be equally probable.

    Parameters
    ----------
    tally
        Votes for each class, ``(classes,)``.
    alpha
        Level of the two-sided binomial test between the first two.

    Raises
    ------
    RobustnessError
        If there are not two classes, a count is negative, or the level is out of its range.
    """
    require_alpha(alpha)
    votes = np.asarray(tally, np.int64)
    if votes.ndim != 1 or len(votes) < 2 or votes.min() < 0:
        raise RobustnessError(
            f"tally={votes.tolist()} must count the votes of two classes or more."
        )
    second, first = np.sort(votes)[-2:].tolist()
    if first == second or stats.binomtest(first, first + second).pvalue > alpha:
        return ABSTAIN
    return int(np.argmax(votes))


def _tallies(
    classifier: Classifier,
    source: Source,
    images: list[int],
    stage: int,
    smoothing: Smoothing,
    bar: Any,
) -> dict[int, NDArray[np.int64]]:
    """Return the votes for each class, of each of some images."""
    copies = smoothing.num_samples if stage == ESTIMATION else smoothing.num_selection
    tallies: dict[int, NDArray[np.int64]] = {}
    for image, batch in source.batches(images, stage, copies):
        labels, classes = classifier.votes(batch)
        counted = np.bincount(labels, minlength=classes)
        tallies[image] = tallies[image] + counted if image in tallies else counted
        bar.update(len(batch))
    return tallies


def _source(
    classifier: Classifier, images: NDArray[np.float32], smoothing: Smoothing, batch_size: int
) -> Source:
    kind, sigma, seed = smoothing.over, smoothing.sigma, smoothing.seed
    return Source(images, kind, sigma, seed, batch_size, classifier.encode)


def _bar(images: int, done: int, each: int, progress: bool) -> Any:
    return tqdm(
        total=images * each,
        initial=done * each,
        desc=f"{images} images",
        unit="vote",
        unit_scale=True,
        disable=not progress,
    )


def _checked(images: ArrayLike) -> NDArray[np.float32]:
    clean = np.ascontiguousarray(images, np.float32)
    if clean.ndim < 2 or not len(clean):
        raise RobustnessError(f"images of shape {clean.shape} must be (n, ...), with n at least 1.")
    if not np.isfinite(clean).all():
        raise RobustnessError("images hold NaN or infinity: take those images out.")
    return clean
