"""The certificate: what was found, as a file that anyone can check.

The file is one JSON object in canonical form (sorted keys, no blanks), with the votes of every
image, so that :mod:`helpers.robustness.certification.verifier`, a program of its own, can recompute
every label and radius. To say who stands behind the counts, sign the file with
:func:`helpers.edge.signing.sign`.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from helpers._files import write_atomically
from helpers.errors import RobustnessError
from helpers.robustness.certification import verifier
from helpers.robustness.certification.outcome import Certification, Votes
from helpers.robustness.certification.smoothing import Smoothing


def as_content(
    certification: Certification,
    *,
    artefact: str,
    dataset: str,
    truth: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return a certificate as plain JSON values.

    Parameters
    ----------
    certification
        What was found. Its classifier must have a hash.
    artefact, dataset
        Names, for people.
    truth
        True classes ``(n,)``, if they may be published; the verifier then counts the right answers.

    Returns
    -------
    dict
        In the format of :mod:`helpers.robustness.certification.verifier`.
    """
    classes = None if truth is None else np.asarray(truth)
    if classes is not None:
        certification.certified(classes)  # that they fit
    rows = []
    for index in range(len(certification)):
        row: dict[str, Any] = {
            "index": index,
            "selection": certification.selection[index].tolist(),
            "counts": certification.counts[index].tolist(),
            "label": int(certification.labels[index]),
            "radius": float(certification.radii[index]),
        }
        rows.append(row if classes is None else {**row, "truth": int(classes[index])})
    how = asdict(certification.smoothing)
    content = {
        "format": verifier.FORMAT,
        "version": verifier.VERSION,
        "artefact": {"name": artefact, "sha256": certification.artefact},
        "dataset": {"name": dataset, "sha256": certification.images, "images": len(rows)},
        "smoothing": {**how, "sigma": float(how["sigma"]), "alpha": float(how["alpha"])},
        "alpha_each": float(certification.alpha_each),
        "ceiling": float(certification.ceiling),
        "classes": int(certification.counts.shape[1]),
        "images": rows,
    }
    return {**content, "digest": verifier.digest(content)}


def write_certificate(
    path: str | os.PathLike[str],
    certification: Certification,
    *,
    artefact: str,
    dataset: str,
    truth: ArrayLike | None = None,
) -> Path:
    """Write a certificate, once the verifier has accepted it.

    Parameters
    ----------
    path
        The file.
    certification
        What was found. Its classifier must have a hash.
    artefact, dataset
        Names, for people.
    truth
        True classes ``(n,)``, if they may be published.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RobustnessError
        If the verifier would reject it: there is no hash, or too many images or classes.
    """
    target = Path(path)
    content = as_content(certification, artefact=artefact, dataset=dataset, truth=truth)
    data = verifier.canonical(content)
    try:
        verifier.verify(data)
    except verifier.RejectedError as problem:
        raise RobustnessError(f"This cannot be made a certificate: {problem}.") from problem
    write_atomically(target, data)
    return target


def read_certificate(path: str | os.PathLike[str]) -> Certification:
    """Read a certificate that the verifier accepts.

    Raises
    ------
    RobustnessError
        If the file cannot be read or is rejected.
    """
    try:
        content = verifier.verify(verifier.read(Path(path))).content
    except OSError as error:
        raise RobustnessError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except verifier.RejectedError as problem:
        raise RobustnessError(f"{str(path)!r} is rejected: {problem}.") from problem
    votes = [Votes(tuple(row["selection"]), tuple(row["counts"])) for row in content["images"]]
    return Certification.of_votes(
        votes,
        Smoothing(**content["smoothing"]),
        content["alpha_each"],
        content["artefact"]["sha256"],
        content["dataset"]["sha256"],
    )
