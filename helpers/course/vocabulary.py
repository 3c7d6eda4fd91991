"""The words in which the labs say what they measured: attacks, defences, quantities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from helpers.threats.measurement import METRICS

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Subject:
    """An attack or a defence: what it is called, and the chapter that teaches it."""

    title: str
    page: str = ""


@dataclass(frozen=True)
class Quantity:
    """What a number is.

    Attributes
    ----------
    meaning
        In a few words.
    unit
        Written behind the number; ``"share"`` is written as a number from 0 to 1.
    better
        Which end the defender wants.
    low, high
        Values that it can have.
    steady
        Whether a second run on another machine gives it again; times do not.
    """

    meaning: str
    unit: str = "share"
    better: Better = "higher"
    low: float = 0.0
    high: float = 1.0
    steady: bool = True

    def written(self, value: float, interval: tuple[float, float] | None = None) -> str:
        """Return a value as a table shows it: ``0.953 [0.931, 0.969]``."""
        text = self._number(value)
        if interval is not None:
            text += f" [{self._number(interval[0])}, {self._number(interval[1])}]"
        return text if self.unit == "share" else f"{text} {self.unit}".strip()

    def _number(self, value: float) -> str:
        if self.unit == "share":
            return f"{value:.3f}" if value == 0 or abs(value) >= 0.001 else f"{value:.1e}"
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


_DP, _BYZANTINE = "chapters/differential-privacy", "chapters/byzantine-robustness"
_EDGE, _LEAKAGE = "chapters/model-on-the-device", "chapters/quantization-privacy"
_MARK, _ATTACKS = "chapters/watermarking", "chapters/attacks-on-edge-models"
_PHYSICAL, _CERTIFIED = "chapters/physical-robustness", "chapters/certified-robustness"
_FIELD, _TRANSPORT = "chapters/failure-in-the-field", "chapters/secure-transport"
_LEARNING, _THREATS = "chapters/federated-learning", "chapters/threat-modelling"

ATTACKS = {
    "none": Subject("No attack"),
    "gradient-inversion": Subject("Reading the data from an update", _LEARNING),
    "membership-inference": Subject("Membership inference", _DP),
    "model-inversion": Subject("Model inversion", _LEAKAGE),
    "byzantine-clients": Subject("Members that lie", _BYZANTINE),
    "curious-server": Subject("A server that reads", _BYZANTINE),
    "wrong-privacy-code": Subject("A wrong implementation of DP-SGD", _DP),
    "network-attack": Subject("An attacker on the network", _TRANSPORT),
    "stolen-identity": Subject("A stolen identity", _TRANSPORT),
    "model-theft": Subject("Copying the model", _EDGE),
    "tampered-release": Subject("A tampered or old release", _EDGE),
    "mark-removal": Subject("Removing a watermark", _MARK),
    "false-ownership-claim": Subject("Claiming another's model", _MARK),
    "evasion": Subject("Evasion by small changes", _ATTACKS),
    "evasion-by-questions": Subject("Evasion by questions alone", _ATTACKS),
    "evasion-by-patch": Subject("A printed patch", _ATTACKS),
    "weather-and-lens": Subject("Weather, lens and motion", _PHYSICAL),
    "lens-flare": Subject("Lens flare", _FIELD),
    "fielded-system": Subject("What the threat model finds", _THREATS),
    "denial-of-service": Subject("Stopping a process", _TRANSPORT),
    "forged-evidence": Subject("A forged certificate or a picked number", _CERTIFIED),
}

DEFENCES = {
    "none": Subject("nothing"),
    "differential-privacy": Subject("differential privacy", _DP),
    "robust-aggregation": Subject("robust aggregation", _BYZANTINE),
    "secure-aggregation": Subject("secure aggregation", _BYZANTINE),
    "larger-batch": Subject("more pictures in an update", _LEARNING),
    "implementation-audit": Subject("an audit of the implementation", _DP),
    "mutual-tls": Subject("mutual TLS", _TRANSPORT),
    "revocation": Subject("revocation", _TRANSPORT),
    "signed-release": Subject("signed releases", _EDGE),
    "sealed-file": Subject("sealed files", _EDGE),
    "quantisation": Subject("quantisation", _EDGE),
    "coarse-answers": Subject("fewer digits in the answer", _LEAKAGE),
    "separate-templates": Subject("templates kept apart from the file", _LEAKAGE),
    "regularisation": Subject("regularisation", _LEAKAGE),
    "watermark": Subject("a watermark", _MARK),
    "adversarial-training": Subject("adversarial training", _ATTACKS),
    "input-transformation": Subject("a transformed input", _ATTACKS),
    "augmentation": Subject("augmentation", _PHYSICAL),
    "randomised-smoothing": Subject("randomised smoothing", _CERTIFIED),
    "lipschitz-network": Subject("a Lipschitz network", _CERTIFIED),
    "monitoring": Subject("monitoring in the field", _FIELD),
    "several": Subject("several together"),
    "signed-updates": Subject("signed updates, checked on arrival", _TRANSPORT),
    "deadline-and-quorum": Subject("a deadline and a quorum", _TRANSPORT),
    "dated-commitment": Subject("a commitment with a date", _MARK),
    "independent-check": Subject("somebody else who recomputes", _CERTIFIED),
}

QUANTITIES = {
    name: Quantity(metric.meaning, better="lower", low=metric.low, high=metric.high)
    for name, metric in METRICS.items()
} | {
    "cost-inflation": Quantity(METRICS["cost-inflation"].meaning, "times", "lower", 1, 1e6, False),
    "accuracy": Quantity("share answered rightly"),
    "recall": Quantity("share found of those that are there"),
    "mean-average-precision": Quantity("mean average precision at an overlap of one half"),
    "certified-accuracy": Quantity("share answered rightly, with a proof for the stated radius"),
    "auc": Quantity("area under the ROC curve of the attack; 0.5 is guessing", better="lower"),
    "true-positive-rate": Quantity("members named at the stated rate of outsiders named",
                                   better="lower"),
    "agreement": Quantity("share on which two models answer alike", better="neither"),
    "detection-rate": Quantity("share noticed of what should be noticed"),
    "false-alarm-rate": Quantity("share of harmless cases that raise an alarm", better="lower"),
    "mark-found": Quantity("share of the mark's bits or answers that are found"),
    "false-claim-probability": Quantity("chance that an innocent model is claimed",
                                        better="lower"),
    "epsilon": Quantity("privacy loss epsilon at the stated delta", "", "lower", 0, math.inf),
    "epsilon-found": Quantity("epsilon that an audit proves at least", "", "lower", 0, math.inf),
    "milliseconds": Quantity("time of one answer on this machine", "ms", "lower", 0, math.inf,
                             False),
    "kilobytes": Quantity("size of the file", "kB", "lower", 0, math.inf),
    "count": Quantity("how many", "", "neither", 0, math.inf),
    "traffic": Quantity("sent and received by one member", "kB", "lower", 0, math.inf),
    "milliseconds-estimated": Quantity("time of one answer on the device, estimated", "ms",
                                       "lower", 0, math.inf),
    "top-kept": Quantity("share of the top five that is there again when scores are drawn anew"),
}  # fmt: skip
