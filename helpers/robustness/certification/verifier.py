"""Check a certificate of randomised smoothing without the program that wrote it.

    python verifier.py CERTIFICATE [--artefact FILE]

Only the standard library is used, so that this one file can be read in an hour, copied to another
machine and run there; it shares no line with the code that it checks. It reads the certificate
strictly and recomputes from the counts every label and every radius.

What that proves: if the counts were drawn as the certificate says, the radii follow. What it cannot
prove: that they were. Somebody who invents counts gets a certificate that verifies. Against that
there is a signature of someone you trust, and drawing anew (``spot_check``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

FORMAT, VERSION = "edgesec-certificate", 1
TOLERANCE = 1e-9  # of a radius, in its unit
MOST_BYTES = 64 * 2**20
MOST_IMAGES = 100_000
MOST_CLASSES = 10_000
MOST_VOTES = 10_000_000
_MOST_TERMS = 100_000

FIELDS = {
    "alpha_each": float,
    "artefact": dict,
    "ceiling": float,
    "classes": int,
    "dataset": dict,
    "digest": str,
    "format": str,
    "images": list,
    "smoothing": dict,
    "version": int,
}
ARTEFACT = {"name": str, "sha256": str}
DATASET = {"images": int, "name": str, "sha256": str}
SMOOTHING = {
    "alpha": float,
    "guarantee": str,
    "num_samples": int,
    "num_selection": int,
    "over": str,
    "seed": int,
    "sigma": float,
}
IMAGE = {"counts": list, "index": int, "label": int, "radius": float, "selection": list}


class RejectedError(Exception):
    """The certificate does not say what it must; the message names the field."""


class Summary(NamedTuple):
    """What an accepted certificate claims.

    Attributes
    ----------
    content
        The certificate.
    abstained
        Images without a label.
    median_radius
        Of the others; 0 if there is none.
    artefact_checked
        Whether the artefact itself was there, and has the hash that the certificate names.
    """

    content: dict[str, Any]
    abstained: int
    median_radius: float
    artefact_checked: bool


def verify(data: bytes, artefact: bytes | None = None) -> Summary:
    """Check a certificate.

    Parameters
    ----------
    data
        The whole file.
    artefact
        The model file that it is about, to compare its hash; None leaves that out.

    Returns
    -------
    Summary
        If everything holds.

    Raises
    ------
    RejectedError
        If anything does not.
    """
    content = parse(data)
    _check_head(content)
    if artefact is not None:
        found = hashlib.sha256(artefact).hexdigest()
        _require(
            found == content["artefact"]["sha256"],
            f"artefact: its SHA-256 is {found}, the certificate is about another file",
        )
    _check_images(content)
    radii = sorted(row["radius"] for row in content["images"] if row["label"] >= 0)
    middle = radii[len(radii) // 2] if radii else 0.0
    abstained = len(content["images"]) - len(radii)
    return Summary(content, abstained, middle, artefact is not None)


def read(path: Path) -> bytes:
    """Read a file; raise RejectedError if it is too large to be a certificate."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    _require(len(data) <= MOST_BYTES, f"the file is larger than {MOST_BYTES} bytes")
    return data


def canonical(content: dict[str, Any]) -> bytes:
    """Return the one way to write a certificate: sorted keys, no blanks, ASCII, a line end."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii") + b"\n"


def digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 over all the rest of a certificate.

    It finds accidents. Who changes a certificate on purpose can compute it too.
    """
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(canonical(rest)).hexdigest()


def parse(data: bytes) -> dict[str, Any]:
    """Read a certificate strictly: one canonical JSON object with the fields of this version.

    Raises
    ------
    RejectedError
        If it is anything else.
    """
    _require(len(data) <= MOST_BYTES, f"the file is larger than {MOST_BYTES} bytes")
    try:
        content = json.loads(data.decode("ascii"), parse_constant=_no_constant)
        same = isinstance(content, dict) and canonical(content) == data
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"this is no certificate: {str(error)[:200]}") from None
    _require(
        same, "the file is not in canonical form: a key twice or unsorted, a blank, another number"
    )
    _fields(content, FIELDS, "the certificate")
    _fields(content["artefact"], ARTEFACT, "artefact")
    _fields(content["dataset"], DATASET, "dataset")
    _fields(content["smoothing"], SMOOTHING, "smoothing")
    return dict(content)


def _check_head(content: dict[str, Any]) -> None:
    """Check everything but the images."""
    how, images = content["smoothing"], content["images"]
    _require(content["format"] == FORMAT, f"format must be {FORMAT}")
    _require(content["version"] == VERSION, f"version must be {VERSION}")
    _require(content["digest"] == digest(content), "digest does not fit the content")
    for name in ("artefact", "dataset"):
        _require(
            re.fullmatch(r"[0-9a-f]{64}", content[name]["sha256"]) is not None,
            f"{name}: sha256 must be 64 hexadecimal digits",
        )
        _require(
            len(content[name]["name"]) <= 200 and content[name]["name"].isprintable(),
            f"{name}: name must be at most 200 printable characters",
        )
    _require(how["sigma"] > 0, "sigma must be above 0")
    _require(0 < how["alpha"] < 0.5, "alpha must lie between 0 and 0.5")
    _require(how["seed"] >= 0, "seed must not be negative")
    for name in ("num_samples", "num_selection"):
        _require(1 <= how[name] <= MOST_VOTES, f"{name} must be 1 to {MOST_VOTES}")
    _require(how["guarantee"] in ("each", "all"), "guarantee must be each or all")
    _require(
        how["over"] in ("pixels", "brightness", "contrast"),
        "over must be pixels, brightness or contrast",
    )
    _require(2 <= content["classes"] <= MOST_CLASSES, f"classes must be 2 to {MOST_CLASSES}")
    _require(1 <= len(images) <= MOST_IMAGES, f"there must be 1 to {MOST_IMAGES} images")
    _require(content["dataset"]["images"] == len(images), "dataset: images is another number")
    each = how["alpha"] / len(images) if how["guarantee"] == "all" else how["alpha"]
    _require(content["alpha_each"] == each, f"alpha_each must be {each!r}")
    top = radius(how["sigma"], how["num_samples"], how["num_samples"], each)
    _require(abs(content["ceiling"] - top) <= TOLERANCE, f"ceiling must be {top!r}")


def _check_images(content: dict[str, Any]) -> None:
    how, seen = content["smoothing"], set()
    for position, row in enumerate(content["images"]):
        where = f"image {position}"
        _fields(row, IMAGE, where, optional={"truth": int})
        _require(row["index"] == position, f"{where}: index must be {position}")
        for name, total in (("selection", "num_selection"), ("counts", "num_samples")):
            votes = row[name]
            _require(len(votes) == content["classes"], f"{where}: {name} has another length")
            _require(
                all(type(vote) is int and vote >= 0 for vote in votes),
                f"{where}: {name} must be whole numbers, none negative",
            )
            _require(sum(votes) == how[total], f"{where}: {name} must sum to {total}")
        _require(0 <= row.get("truth", 0) < content["classes"], f"{where}: truth must be a class")
        chosen = row["selection"].index(max(row["selection"]))
        count = row["counts"][chosen]
        _require(row["label"] in (-1, chosen), f"{where}: label must be {chosen}, or -1 to abstain")
        claim = (count, row["label"] < 0, row["radius"])
        if claim not in seen:
            _check_claim(where, how, content["alpha_each"], *claim)
            seen.add(claim)


def _check_claim(
    where: str, how: dict[str, Any], alpha: float, count: int, abstains: bool, claimed: float
) -> None:
    """Check a radius: the tail of the binomial just below and just above it must enclose alpha."""
    sigma, trials = how["sigma"], how["num_samples"]
    if abstains:
        _require(claimed == 0, f"{where}: radius must be 0 where the answer is to abstain")
        _require(
            2 * count <= trials
            or tail(count, trials, NormalDist().cdf(TOLERANCE / sigma)) >= alpha,
            f"{where}: label is -1, but {count} of {trials} votes are enough for an answer",
        )
        return
    _require(
        claimed > 0 and _certifies(how, alpha, count, claimed - TOLERANCE),
        f"{where}: radius {claimed!r} does not follow from {count} of {trials} votes",
    )
    if _certifies(how, alpha, count, claimed + TOLERANCE):
        least = radius(sigma, count, trials, alpha)
        raise RejectedError(f"{where}: radius must be {least!r}")


def _certifies(how: dict[str, Any], alpha: float, count: int, wanted: float) -> bool:
    """Whether votes certify a radius: were p smaller, so many would have a chance below alpha."""
    at = NormalDist().cdf(wanted / how["sigma"])
    return 2 * count > how["num_samples"] and tail(count, how["num_samples"], at) <= alpha


def tail(count: int, trials: int, p: float) -> float:
    """Return the probability of ``count`` successes or more in ``trials``, each of chance ``p``.

    It is the regularised incomplete beta function I_p(count, trials - count + 1): NIST Digital
    Library of Mathematical Functions, 8.17.5, by the continued fraction 8.17.22.

    Raises
    ------
    RejectedError
        If the counts are so large that the fraction does not converge.
    """
    if count <= 0:
        return 1.0
    if p <= 0 or p >= 1:
        return float(p >= 1)
    if count == trials:
        return float(p**trials)
    a, b = float(count), float(trials - count + 1)
    scale = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(p) + b * math.log1p(-p)
    )
    if p < (a + 1) / (a + b + 2):
        return scale / a * _fraction(a, b, p)
    return 1 - scale / b * _fraction(b, a, 1 - p)


def _fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction of I_x(a, b) by the modified Lentz method."""
    tiny = 1e-300
    above, below = 1.0, 1 - (a + b) * x / (a + 1)
    below = 1 / (below if abs(below) > tiny else tiny)
    value = below
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            below = 1 + term * below
            above = 1 + term / above
            below = 1 / (below if abs(below) > tiny else tiny)
            above = above if abs(above) > tiny else tiny
            step = above * below
            value *= step
        if abs(step - 1) < 1e-15:
            return value
    raise RejectedError("the counts are too large to be checked")


def lower_bound(count: int, trials: int, alpha: float) -> float:
    """Return the smallest chance with which so many successes or more have probability alpha."""
    if count == 0:
        return 0.0
    if count == trials:
        return float(alpha ** (1 / trials))
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if tail(count, trials, middle) < alpha else (low, middle)


def radius(sigma: float, count: int, trials: int, alpha: float) -> float:
    """Return the L2 radius that `count` of `trials` votes certify, 0 if none.

    `sigma` is the deviation of the noise, `alpha` the probability that the radius is too large.
    """
    low = lower_bound(count, trials, alpha)
    return sigma * NormalDist().inv_cdf(low) if 0.5 < low < 1 else 0.0


def _fields(
    value: Any, wanted: Mapping[str, type], where: str, optional: Mapping[str, type] | None = None
) -> None:
    """Require exactly these fields of exactly these types, every number finite."""
    _require(isinstance(value, dict), f"{where} must be an object")
    known = {**wanted, **(optional or {})}
    missing, extra = wanted.keys() - value.keys(), value.keys() - known.keys()
    _require(not missing, f"{where} lacks {', '.join(sorted(missing))}")
    _require(not extra, f"{where} has unknown fields: {', '.join(sorted(extra))[:200]!a}")
    for name, item in value.items():
        _require(type(item) is known[name], f"{where}: {name} must be {known[name].__name__}")
        if type(item) is float:
            _require(
                math.isfinite(item) and math.copysign(1, item) > 0,
                f"{where}: {name} must be finite and not negative",
            )


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise RejectedError(problem)


def describe(summary: Summary) -> str:
    """Return what an accepted certificate claims, in plain words."""
    content = summary.content
    how, artefact, images = content["smoothing"], content["artefact"], content["dataset"]["images"]
    spent = "each certificate by itself" if how["guarantee"] == "each" else "all of them together"
    unit = {
        "pixels": "L2 change of the pixels",
        "brightness": "shift of the brightness",
        "contrast": "change of the logarithm of the contrast",
    }[how["over"]]
    known = [row for row in content["images"] if "truth" in row]
    right = sum(row["label"] == row["truth"] for row in known)
    checked = "checked" if summary.artefact_checked else "not checked: no file was given"
    return "\n".join(
        [
            f"artefact   {artefact['name']}, SHA-256 {artefact['sha256']} ({checked})",
            f"dataset    {content['dataset']['name']}, {images} images, SHA-256 "
            f"{content['dataset']['sha256']}",
            f"smoothing  sigma {how['sigma']:g} over {how['over']}, {how['num_samples']} votes "
            f"after {how['num_selection']} to select, seed {how['seed']}",
            f"promise    wrong with probability at most {how['alpha']:g}, {spent}",
            f"answers    {images - summary.abstained} of {images}"
            + (f"; {right} of {len(known)} with a known class are right" if known else ""),
            f"radius     median {summary.median_radius:.4f}, ceiling {content['ceiling']:.4f} "
            f"({unit})",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Verify one file; the exit status is 0 if it is accepted, 1 if it is rejected."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("certificate", type=Path, help="the certificate, a JSON file")
    parser.add_argument("--artefact", type=Path, help="the model file that it is about")
    options = parser.parse_args(arguments)
    try:
        artefact = options.artefact.read_bytes() if options.artefact else None
        summary = verify(read(options.certificate), artefact)
    except (RejectedError, OSError) as problem:
        print(f"REJECTED: {problem}", file=sys.stderr)
        return 1
    print(describe(summary))
    print(
        "ACCEPTED: every radius follows from its counts. That the counts were drawn is not shown."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
