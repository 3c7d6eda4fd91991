"""Read what a lab or an assessment wrote, and say as measurements what it found.

Two files are understood beside the form of :mod:`helpers.threats.measurement`:

* ``measurements.json``, which every lab writes with ``lab.report()``: the entries that name a
  threat. A lab measures one threat under several defences, so where two entries speak of the same
  one, the reader has to say which describes the system at hand.
* ``assessment.json`` of ``edgesec assess`` and of the lab *fool-the-camera-on-the-pi*: evasion, the
  share of the images that were right before and that any of the attacks made wrong, with its exact
  interval.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from helpers._text import nearest
from helpers.errors import ThreatModelError
from helpers.threats.measurement import Measurement, from_json, rate, read_json

LAB_SCHEMA = "edgesec-measurements/1"


def read_report(path: str | Path, target: str = "", name: str = "") -> tuple[Measurement, ...]:
    """Read a lab's measurements, an assessment, or measurements in their own form.

    Parameters
    ----------
    path
        JSON file.
    target
        The element or flow that a lab or an assessment speaks of; empty for every one with its
        threat. Measurements in their own form name theirs.
    name
        Of a lab's measurements the one that describes the system; empty for all that name a
        threat, of which no two may name the same.

    Raises
    ------
    ThreatModelError
        If the file is none of these, its numbers cannot be, or a name is missing or unknown.
    """
    path = Path(path)
    content = read_json(path)
    schema = content.get("schema") if isinstance(content, dict) else None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    if schema == LAB_SCHEMA:
        return _checked(_from_lab, content, target, f"{path.name}, SHA-256 {digest}...", name)
    if name:
        raise ThreatModelError(f"{path.name} is not what a lab measured, so it has no {name!r}.")
    if isinstance(content, dict) and "robust_acc" in content:
        return _checked(_from_assessment, content, target, f"{path.name}, SHA-256 {digest}...")
    if schema is not None:
        return from_json(content, path.name)
    raise ThreatModelError(
        f"{path.name} is no report that is known here: it is neither the {LAB_SCHEMA} that a lab "
        "writes, nor an assessment by `edgesec assess`, nor measurements with a `schema`."
    )


def most_members_named(epsilon: float, delta: float, accused: float = 0.01) -> float:
    """Return the highest true-positive rate that (ε, δ)-DP allows at a false-positive rate.

    It is the lesser of e^ε α + δ and 1 - e^-ε (1 - δ - α) (Kairouz, Oh and Viswanath 2015).

    Parameters
    ----------
    epsilon, delta
        The guarantee.
    accused
        The false-positive rate α.

    Raises
    ------
    ThreatModelError
        If epsilon is negative or not finite, or delta or accused is no probability.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0 and 0 <= delta <= 1 and 0 <= accused <= 1):
        raise ThreatModelError(
            f"epsilon={epsilon}, delta={delta}, accused={accused}: epsilon must be finite and at "
            "least 0, the other two must lie between 0 and 1"
        )
    shrunk = math.exp(-epsilon)
    straight = accused / shrunk + delta if shrunk > accused else 1.0  # e^ε may overflow
    return max(0.0, min(1.0, straight, 1 - shrunk * (1 - delta - accused)))


def _from_lab(
    content: Mapping[str, Any], target: str, file: str, name: str
) -> tuple[Measurement, ...]:
    speaking = {one["name"]: one for one in content["measurements"] if one.get("threat")}
    if name:
        if name not in speaking:
            raise ThreatModelError(f"{file}: no {name!r} names a threat; {nearest(name, speaking)}")
        speaking = {name: speaking[name]}
    for threat in {one["threat"] for one in speaking.values()}:
        same = [name for name, one in speaking.items() if one["threat"] == threat]
        if len(same) > 1:
            raise ThreatModelError(
                f"{file}: {len(same)} entries speak of {threat}. Say which describes this system, "
                f"as FILE#NAME: {', '.join(same)}."
            )
    if not speaking:
        raise ThreatModelError(f"{file}: none of its entries names a threat.")
    return tuple(_entry(content, one, target, file) for one in speaking.values())


def _entry(
    content: Mapping[str, Any], one: Mapping[str, Any], target: str, file: str
) -> Measurement:
    value = float(one["value"])
    low, high = one.get("interval", (value, value))
    about = [one["subject"], one.get("setting", ""), f"{content['profile']} profile"]
    return Measurement(
        threat=one["threat"],
        metric=one["metric"],
        value=value,
        low=float(low),
        high=float(high),
        source=f"lab {content['lab']}, {one['name']}, {file}",
        date=datetime.date.fromisoformat(content["date"]),
        evidence="bound" if one["evidence"] == "bound" else "attack",
        target=target,
        setting="; ".join(filter(None, about)),
    )


def _from_assessment(content: Mapping[str, Any], target: str, file: str) -> tuple[Measurement, ...]:
    images, radius = int(content["dataset"]["images"]), float(content["threat_model"]["eps_levels"])
    clean, robust = float(content["clean_acc"]), float(content["robust_acc"])
    if not 0 <= robust <= clean <= 1:
        raise ValueError(f"clean accuracy {clean:g}, robust accuracy {robust:g}")
    right = round(clean * images)
    fooled = right - round(robust * images)
    value, low, high = rate(fooled, right)
    doubt = "" if (content["masking"] or {}).get("trustworthy") else "; gradients may be masked"
    result = Measurement(
        threat="evasion",
        metric="attack-success-rate",
        value=value,
        low=low,
        high=high,
        source=f"edgesec assess, {file}",
        date=datetime.date.fromisoformat(str(content["made"])[:10]),
        target=target,
        setting=f"{fooled} of {right} images, L-infinity {radius:g}/255, "
        f"model {str(content['model']['sha256'])[:12]}...{doubt}",
    )
    return (result,)


def _checked(
    read: Callable[..., tuple[Measurement, ...]],
    content: Mapping[str, Any],
    target: str,
    file: str,
    *name: str,
) -> tuple[Measurement, ...]:
    try:
        return read(content, target, file, *name)
    except KeyError as error:
        raise ThreatModelError(f"{file}: it lacks {error}, which its writer puts there.") from error
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ThreatModelError(f"{file}: it is not as its writer leaves it: {error}.") from error
