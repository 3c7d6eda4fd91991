"""Read what a lab wrote, and say as a measurement what it found.

The labs leave JSON files with their learners. Three of them are understood as they are, so that a
result need not be typed in again; anything else comes in the form of
:mod:`helpers.threats.measurement`.

==================================  ======================  =======================================
file                                threat                  what is read off
==================================  ======================  =======================================
``card.json`` of lab                gradient-inversion      how much better the device's own
*train-across-devices*                                      photographs were read than a control's,
                                                            mean over devices with its 95 % interval
``privacy_statement.json`` of lab   membership-inference    what ε and δ allow any attack to win; it
*train-under-a-privacy-budget*                              is a bound, and counts only if the audit
                                                            of the implementation passed
``assessment.json`` of lab          evasion                 share of the images that were right
*fool-the-camera-on-the-pi*, and                            before and that any of the attacks made
of ``edgesec assess``                                       wrong, with its exact interval
==================================  ======================  =======================================
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import ThreatModelError
from helpers.threats.measurement import Measurement, from_json, rate, read_json

_RESAMPLED = 2000
_BY_DEVICE = "SSIM of the best-read photograph, by device"


def read_report(
    path: str | Path, target: str = "", date: datetime.date | None = None
) -> tuple[Measurement, ...]:
    """Read a lab's report, or measurements in their own form.

    Parameters
    ----------
    path
        JSON file.
    target
        The element or flow that a lab's report speaks of; empty for every one with its threat.
        Measurements in their own form name theirs.
    date
        When a lab was run, which its report does not say; by default when the file was written.

    Raises
    ------
    ThreatModelError
        If the file is neither, or its numbers cannot be.
    """
    path = Path(path)
    content = read_json(path)
    for key, read in _READERS.items():
        if isinstance(content, dict) and key in content:
            date = date or datetime.date.fromtimestamp(path.stat().st_mtime)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            return (_checked(read, content, target, date, f"{path.name}, SHA-256 {digest}..."),)
    if isinstance(content, dict) and "schema" in content:
        return from_json(content, path.name)
    raise ThreatModelError(
        f"{path.name} is no report that is known here: it is neither a card of the lab "
        "train-across-devices, nor a privacy statement of the lab train-under-a-privacy-budget, "
        "nor an assessment by `edgesec assess`, nor measurements with a `schema`."
    )


Reader = Callable[[Mapping[str, Any], str, datetime.date, str], Measurement]


def most_members_named(epsilon: float, delta: float, accused: float = 0.01) -> float:
    """Return the highest true-positive rate that (ε, δ)-DP allows at a false-positive rate.

    It is the lesser of e^ε α + δ and 1 - e^-ε (1 - δ - α) (Kairouz, Oh and Viswanath 2015).

    Parameters
    ----------
    epsilon, delta
        The guarantee.
    accused
        The false-positive rate α.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0 and 0 <= delta <= 1):
        raise ValueError(f"epsilon={epsilon}, delta={delta}")
    shrunk = math.exp(-epsilon)
    straight = accused / shrunk + delta if shrunk > accused else 1.0  # e^ε may overflow
    return max(0.0, min(1.0, straight, 1 - shrunk * (1 - delta - accused)))


def _from_card(
    content: Mapping[str, Any], target: str, date: datetime.date, file: str
) -> Measurement:
    devices = content[_BY_DEVICE]
    gains = np.array([device["read"] - device["control"] for device in devices], np.float64)
    if not gains.size or not np.isfinite(gains).all():
        raise ValueError("no finite similarities")
    rng = np.random.default_rng(0)
    means = rng.choice(gains, (_RESAMPLED, len(gains))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    value = float(gains.mean())
    return Measurement(
        threat="gradient-inversion",
        metric="reconstruction-gain",
        value=value,
        low=min(value, float(low)),
        high=max(value, float(high)),
        source=f"lab train-across-devices, {file}",
        date=date,
        target=target,
        setting=f"{len(gains)} devices; {str(content.get('setting', ''))[:100]}; "
        f"{str(content.get('data', ''))[:200]}",
    )


def _from_statement(
    content: Mapping[str, Any], target: str, date: datetime.date, file: str
) -> Measurement:
    epsilon, delta = float(content["epsilon"]), float(content["delta"])
    if content["audit"]["tests failed"]:
        raise ValueError("the audit of its implementation failed, so its epsilon proves nothing")
    bound = most_members_named(epsilon, delta)
    return Measurement(
        threat="membership-inference",
        metric="members-named",
        value=bound,
        low=0.0,
        high=bound,
        source=f"lab train-under-a-privacy-budget, {file}",
        date=date,
        evidence="bound",
        target=target,
        setting=f"epsilon {epsilon:g}, delta {delta:g}; {str(content.get('protected', ''))[:200]}",
    )


def _from_assessment(
    content: Mapping[str, Any], target: str, date: datetime.date, file: str
) -> Measurement:
    images, radius = int(content["dataset"]["images"]), float(content["threat_model"]["eps_levels"])
    clean, robust = float(content["clean_acc"]), float(content["robust_acc"])
    if not 0 <= robust <= clean <= 1:
        raise ValueError(f"clean accuracy {clean:g}, robust accuracy {robust:g}")
    right = round(clean * images)
    fooled = right - round(robust * images)
    value, low, high = rate(fooled, right)
    doubt = "" if (content["masking"] or {}).get("trustworthy") else "; gradients may be masked"
    return Measurement(
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


_READERS: dict[str, Reader] = {
    _BY_DEVICE: _from_card,
    "members named at most": _from_statement,
    "robust_acc": _from_assessment,
}


def _checked(
    read: Reader, content: Mapping[str, Any], target: str, date: datetime.date, file: str
) -> Measurement:
    try:
        return read(content, target, date, file)
    except KeyError as error:
        raise ThreatModelError(f"{file}: it lacks {error}, which its lab writes.") from error
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ThreatModelError(f"{file}: it is not as its lab writes it: {error}.") from error
