"""``edgesec assess``: attack a ``.tflite`` classifier and report what it withstands."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.audit.spans import RANGES
from helpers.errors import EdgeError, RobustnessError

if TYPE_CHECKING:
    import numpy as np

    from helpers.edge.artefact import Artefact, TensorContract
    from helpers.edge.runtimes import Runner
    from helpers.robustness.target import Target

_IMAGES, _LABELS = ("images", "x_test", "x"), ("labels", "y_test", "y")


@click.command(name="assess", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--data",
    "source",
    required=True,
    help=".npz with images and labels (or x_test and y_test), uint8 or from 0 to 1; or the name "
    "of a dataset (`edgesec data list`).",
)
@click.option(
    "--epsilon",
    default="4/255",
    show_default=True,
    help="Most that a value may change, of a range of 1: 4/255 is four levels of a pixel.",
)
@click.option("--images", type=click.IntRange(1), default=200, show_default=True, help="At most.")
@click.option(
    "--range",
    "span",
    type=click.Choice(list(RANGES)),
    help="What the model takes black and white as; by default read from the scale of its input.",
)
@click.option(
    "--label-offset", default=0, show_default=True, help="Added to each label (a background class)."
)
@click.option("--steps", type=click.IntRange(2), default=40, show_default=True, help="Of PGD.")
@click.option("--restarts", type=click.IntRange(1), default=2, show_default=True, help="Of PGD.")
@click.option(
    "--queries", type=click.IntRange(1), default=500, show_default=True, help="An image, of Square."
)
@click.option("--seed", default=0, show_default=True, help="Of images and attacks.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write assessment.json, .md and .html into this folder.",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
def command(
    model: Path, source: str, epsilon: str, images: int, span: str | None, label_offset: int,
    steps: int, restarts: int, queries: int, seed: int, out: Path | None, quiet: bool,
) -> None:  # fmt: skip
    """Attack MODEL, a .tflite image classifier, and report what it withstands.

    The file is checked before it runs, and runs in a process of its own. Attacks by gradients use a
    copy of the network that is read back from the file; where it holds an operation that cannot be
    read back, only questions are asked, and the report says so. The file judges every attack.
    """
    from helpers._files import write_atomically
    from helpers.edge.artefact import Artefact
    from helpers.edge.runtimes import open_model
    from helpers.robustness import assessment, assessment_report

    plan = assessment.Plan(fraction(epsilon), steps, restarts, queries, seed=seed)
    artefact = Artefact.read(model)
    rows, labels, described = load_images(source, images, seed)
    with open_model(artefact) as runner:
        require_fit(model.name, runner, rows)
        chosen = RANGES[span] if span else range_of(runner.contract.inputs[0])
        target, why_not = make_target(artefact, runner, chosen, rows)
        digest = hashlib.sha256(artefact.data).hexdigest()
        subject = assessment.Subject(model.name, digest, artefact.num_bytes, described)
        found = assessment.assess(
            target, rows, labels + label_offset, subject, plan,
            without_gradients=why_not, progress=not quiet,
        )  # fmt: skip
    _show(found, chosen)
    if out is not None:
        for suffix, text in (
            ("json", assessment_report.to_json(found)),
            ("md", assessment_report.to_markdown(found)),
            ("html", assessment_report.to_html(found)),
        ):
            path = out / f"assessment.{suffix}"
            write_atomically(path, text, RobustnessError)
            click.echo(str(path))


def fraction(text: str) -> float:
    """Read a radius such as ``4/255`` or ``0.0157``.

    Raises
    ------
    RobustnessError
        If the text is neither.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:/\s*(\d+))?\s*", text)
    if not found or (found[2] is not None and not int(found[2])):
        raise RobustnessError(f"epsilon {text!r} must be a number such as 0.0157 or 4/255.")
    return float(found[1]) / int(found[2] or 1)


def load_images(source: str, most: int, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Return images in [0, 1], their labels, and what they are.

    Parameters
    ----------
    source
        Path of an ``.npz`` file, or the name of a dataset, whose test images are taken.
    most
        Images; drawn from all without replacement.
    seed
        Of the draw.

    Raises
    ------
    RobustnessError
        If the file holds no such arrays.
    """
    import numpy as np

    if source.endswith(".npz"):
        images, labels = _read(Path(source))
        described = Path(source).name
    else:
        from helpers import data

        loaded = data.load(source)
        images, labels = loaded.x_test, loaded.y_test
        described = f"test images of {source} ({loaded.source}: {loaded.origin})"
    if images.dtype == np.uint8:
        images = images.astype(np.float32) / 255
    chosen = np.random.default_rng(seed).permutation(len(images))[:most]
    return images[chosen], labels[chosen].astype(np.int64), f"{described}, drawn by seed {seed}"


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    from helpers.data.arrays import DAMAGE

    try:
        with np.load(path, allow_pickle=False) as stored:
            names = [
                next((name for name in known if name in stored), None)
                for known in (_IMAGES, _LABELS)
            ]
            if None in names:
                raise RobustnessError(
                    f"{path} holds {', '.join(stored) or 'nothing'}: expected images and labels."
                )
            images, labels = (stored[str(name)] for name in names)
    except DAMAGE as error:
        raise RobustnessError(f"{path} is no .npz of plain arrays: {error}") from error
    whole = labels.dtype.kind in "iu" and labels.shape == images.shape[:1]
    if images.ndim != 4 or images.dtype.kind not in "uf" or not whole or not len(labels):
        raise RobustnessError(
            f"{path}: images {images.shape} {images.dtype} and labels {labels.shape} "
            f"{labels.dtype}; expected (n, height, width, channels) uint8 or from 0 to 1, and n "
            "whole numbers."
        )
    return images, labels


def range_of(contract: TensorContract) -> tuple[float, float]:
    """Return what an input takes black and white as, read from its scale; [0, 1] without one."""
    import numpy as np

    kind = np.dtype(contract.dtype)
    if not contract.scale or kind.kind not in "iu":
        return RANGES["0,1"]
    ends = (np.iinfo(kind).min, np.iinfo(kind).max)
    low, high = (contract.scale * (end - contract.zero_point) for end in ends)
    return min(RANGES.values(), key=lambda span: abs(span[0] - low) + abs(span[1] - high))


def require_fit(name: str, runner: Runner, rows: np.ndarray) -> None:
    """Raise RobustnessError unless the file is an image classifier for these images."""
    inputs, outputs = runner.contract.inputs, runner.contract.outputs
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4:
        raise RobustnessError(
            f"{name} has {len(inputs)} inputs and {len(outputs)} outputs: expected a classifier "
            "with one image in and one row of scores out."
        )
    if inputs[0].shape[0] != 1 or runner.contract.stateful:
        raise RobustnessError(
            f"{name} takes {inputs[0].shape[0]} images at a time or keeps state: expected one "
            "image, one answer."
        )
    if tuple(rows.shape[1:]) != tuple(inputs[0].shape[1:]):
        raise RobustnessError(
            f"The images are {rows.shape[1:]}, {name} takes {inputs[0].shape[1:]}: resize them "
            "first."
        )


def make_target(
    artefact: Artefact, runner: Runner, span: tuple[float, float], rows: np.ndarray
) -> tuple[Target, str]:
    """Return a file as a target over images in [0, 1], and why it has no gradients, if so.

    A softmax that ends the file is left out of the copy.
    """
    from helpers.edge.replica import build_replica
    from helpers.robustness.losses import logits_of_pictures
    from helpers.robustness.target import Target

    low, high = span

    def ask(images: np.ndarray) -> Any:
        return runner.predict(low + (high - low) * images)

    try:
        replica = build_replica(artefact, logits=True)
    except EdgeError as error:
        return Target(ask, name=artefact.name), str(error)
    return Target(ask, logits_of_pictures(replica, span, rows), name=artefact.name), ""


def _show(found: Any, span: tuple[float, float]) -> None:
    low, high = found.interval()
    click.echo(f"model   {found.subject.name}, SHA-256 {found.subject.sha256[:16]}...")
    click.echo(
        f"data    {len(found.correct)} images, given to the model from {span[0]:g} to {span[1]:g}"
    )
    click.echo(f"clean   {found.clean_accuracy:.3f}")
    click.echo(f"robust  at most {found.robust_accuracy:.3f} ({low:.3f} to {high:.3f}) within "
               f"{found.plan.epsilon * 255:.3g}/255")  # fmt: skip
    for finding in found.findings:
        click.echo(f"{finding.severity:9} {finding.title}: {finding.evidence}")
