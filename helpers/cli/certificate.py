"""``edgesec certificate``: certify a model file by votes, verify a certificate, draw anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.cli._arrays import load_array
from helpers.errors import RobustnessError

if TYPE_CHECKING:
    from helpers.robustness.certification.verifier import Summary

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_certificate = click.argument("certificate", type=_FILE)
_images = click.option(
    "--images", type=_FILE, required=True, help=".npy of images (n, ...), as the model takes them."
)
_artefact = click.option("--artefact", type=_FILE, help="The model file, to compare its hash.")


@click.group(name="certificate", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Certify a model file by votes on noisy copies, verify a certificate, and draw anew."""


@command.command()
@click.argument("artefact", type=_FILE)
@click.argument("target", type=_OUT)
@_images
@click.option("--sigma", type=float, required=True, help="Standard deviation of the noise.")
@click.option("--samples", default=10_000, show_default=True, help="Votes an image.")
@click.option("--selection", default=100, show_default=True, help="Votes that choose the class.")
@click.option("--alpha", default=0.001, show_default=True, help="Error probability promised.")
@click.option(
    "--guarantee",
    type=click.Choice(["each", "all"]),
    default="all",
    show_default=True,
    help="Whether alpha is that of each certificate or of all together.",
)
@click.option(
    "--over",
    type=click.Choice(["pixels", "brightness", "contrast"]),
    default="pixels",
    show_default=True,
    help="What the noise moves.",
)
@click.option("--seed", default=0, show_default=True, help="Of the noise.")
@click.option("--labels", type=_FILE, help=".npy of true classes (n,), to go into the certificate.")
@click.option("--log", type=_OUT, help="Votes so far; by default TARGET.log.jsonl.")
def make(
    artefact: Path, target: Path, images: Path, sigma: float, samples: int, selection: int,
    alpha: float, guarantee: Any, over: Any, seed: int, labels: Path | None, log: Path | None,
) -> None:  # fmt: skip
    """Certify ARTEFACT on images and write the certificate TARGET.

    The file runs in a process of its own. A run that was stopped goes on from its log.
    """
    from helpers.edge.artefact import Artefact
    from helpers.edge.runtimes import open_model
    from helpers.robustness.certification.certificate import write_certificate
    from helpers.robustness.certification.smoothing import Classifier, Smoothing, certify

    how = Smoothing(sigma, samples, selection, alpha, guarantee, over, seed)
    rows, model = load_array(images), Artefact.read(artefact)
    truth = None if labels is None else load_array(labels)
    with open_model(model) as runner:
        found = certify(
            Classifier.deployed(runner, model.data),
            rows,
            how,
            log=log or target.with_name(f"{target.name}.log.jsonl"),
            progress=True,
        )
    write_certificate(target, found, artefact=artefact.name, dataset=images.name, truth=truth)
    click.echo(f"{target}: {len(found)} images, {found.abstained:.1%} without an answer")


@command.command()
@_certificate
@_artefact
def verify(certificate: Path, artefact: Path | None) -> None:
    """Recompute every label and radius of CERTIFICATE from its counts."""
    summary = _verified(certificate, artefact)
    left = summary.content["dataset"]["images"] - summary.abstained
    click.echo(f"ACCEPTED: {left} radii follow from their counts; {summary.abstained} abstain.")
    click.echo("That the counts were drawn honestly is not shown: see `spot-check`.")


@command.command()
@_certificate
@_artefact
@click.option("--all", "every", is_flag=True, help="List every image.")
def show(certificate: Path, artefact: Path | None, every: bool) -> None:
    """Show what CERTIFICATE claims, once it is verified."""
    from helpers.robustness.certification.verifier import describe

    summary = _verified(certificate, artefact)
    click.echo(describe(summary))
    for row in summary.content["images"] if every else ():
        answer = "abstains" if row["label"] < 0 else f"{row['label']:8}"
        truth = f"  truth {row['truth']}" if "truth" in row else ""
        click.echo(f"{row['index']:6} {answer} radius {row['radius']:.4f}{truth}")


@command.command("spot-check")
@_certificate
@click.option("--artefact", type=_FILE, required=True, help="The model file.")
@_images
@click.option("--count", default=20, show_default=True, help="Images to vote on again.")
@click.option("--samples", default=1000, show_default=True, help="New votes an image.")
@click.option("--seed", type=int, help="Of images and noise; by default one nobody knows.")
@click.option(
    "--false-alarm",
    default=0.01,
    show_default=True,
    help="Probability that an honest certificate is suspected, at most.",
)
def spot_check(
    certificate: Path, artefact: Path, images: Path, count: int, samples: int,
    seed: int | None, false_alarm: float,
) -> None:  # fmt: skip
    """Vote again on some images of CERTIFICATE, and compare with its counts."""
    import secrets

    from helpers.edge.artefact import Artefact
    from helpers.edge.runtimes import open_model
    from helpers.robustness.certification import spot_check as checking
    from helpers.robustness.certification.certificate import read_certificate
    from helpers.robustness.certification.smoothing import Classifier

    model = Artefact.read(artefact)
    with open_model(model) as runner:
        check = checking.spot_check(
            read_certificate(certificate),
            Classifier.deployed(runner, model.data),
            load_array(images),
            seed=secrets.randbits(63) if seed is None else seed,
            num_images=count,
            num_samples=samples,
            false_alarm=false_alarm,
            progress=True,
        )
    for image in check.alarms.tolist():
        at = check.images.tolist().index(image)
        click.echo(
            f"image {image}: {check.claimed[at]} votes claimed, {check.drawn[at]} of {samples} "
            f"drawn, p = {check.p_values[at]:.2g}"
        )
    if not check.passed:
        raise RobustnessError(
            f"{len(check.alarms)} of {len(check.images)} images were hardly voted on as claimed."
        )
    click.echo(f"{len(check.images)} images agree with votes of {samples} drawn anew.")


def _verified(certificate: Path, artefact: Path | None) -> Summary:
    from helpers.robustness.certification import verifier

    try:
        data = None if artefact is None else artefact.read_bytes()
        return verifier.verify(verifier.read(certificate), data)
    except verifier.RejectedError as problem:
        raise RobustnessError(f"{certificate} is REJECTED: {problem}.") from problem
