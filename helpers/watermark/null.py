"""How likely an innocent model shows so much: the number on which a claim stands or falls."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from helpers.errors import WatermarkError
from helpers.watermark._checks import require_whole
from helpers.watermark.scheme import Reading

CONFIDENCE = 0.999
MIN_INNOCENTS = 8

Kind = Literal["keyed", "ranked"]


@dataclass(frozen=True)
class Null:
    """What innocent models show, for one scheme and one key.

    Attributes
    ----------
    kind
        ``"keyed"``: bits are found independently, each with probability at most ``rate``.
        ``"ranked"``: only the order among the innocents is known.
    rate
        For ``"keyed"``.
    design
        The chance that the scheme itself promises for a fresh key, or None.
    innocents
        Share found in each independent model, ``(n,)``.
    """

    kind: Kind
    rate: float | None
    design: float | None
    innocents: tuple[float, ...]

    def p_value(self, reading: Reading) -> float:
        """Return the probability that an innocent model shows at least this much.

        For ``"keyed"`` a binomial tail. For ``"ranked"`` the rank among the innocents with the
        suspect, ``(1 + those at or above it) / (1 + n)``, which no evidence can push below
        ``1 / (1 + n)``.
        """
        if self.kind == "keyed":
            return float(stats.binom.sf(reading.found - 1, reading.looked_for, self.rate))
        as_high = int(np.sum(np.array(self.innocents) >= reading.share))
        return (1 + as_high) / (1 + len(self.innocents))

    def needed(self, looked_for: int, alpha: float) -> int | None:
        """Return the fewest found that reach a level, or None if even all of them do not.

        Raises
        ------
        WatermarkError
            If nothing is looked for, or the level is not between 0 and 1.
        """
        require_whole("looked_for", looked_for, at_least=1)
        if not 0 < alpha < 1:
            raise WatermarkError(f"alpha={alpha} must lie between 0 and 1.")
        found = bisect.bisect_left(
            range(looked_for + 1),
            True,
            key=lambda count: self.p_value(Reading(count, looked_for)) <= alpha,
        )
        return found if found <= looked_for else None


def measure(chance: float | None, readings: Sequence[Reading]) -> Null:
    """Measure the null on independent models.

    For a keyed scheme the rate is the largest of three. The first is the scheme's own chance: it
    holds for every innocent model, as long as the key was drawn freshly and the model made without
    it. The other two are measured with this very key, and see what the first cannot: a key, or
    triggers, picked because models in general agree with them. They are the share that the most
    incriminated independent model shows, and the upper end of a one-sided 99.9 % Clopper-Pearson
    interval for all of them together. The models should be as good as the suspect, made from the
    same public starting points as it may have been, and pass through whatever it passes through
    before it is read, such as alignment. They can only raise a p-value, so the first guarantee
    stays.

    Parameters
    ----------
    chance
        :attr:`Scheme.chance` of the scheme.
    readings
        What models made independently of the owner's show, one each.

    Raises
    ------
    WatermarkError
        If there are fewer than eight models, or the chance is no probability.

    References
    ----------
    Clopper and Pearson, *The use of confidence or fiducial limits illustrated in the case of the
    binomial*, Biometrika 26(4), 1934. For ranks: Phipson and Smyth, *Permutation p-values should
    never be zero*, 2010, doi:10.2202/1544-6115.1585.
    """
    if len(readings) < MIN_INNOCENTS:
        raise WatermarkError(
            f"{len(readings)} independent models: a null takes at least {MIN_INNOCENTS}."
        )
    if chance is not None and not 0 <= chance <= 1:
        raise WatermarkError(f"chance={chance} must be a probability: between 0 and 1, or None.")
    shares = tuple(reading.share for reading in readings)
    if chance is None:
        return Null("ranked", None, None, shares)
    found = sum(reading.found for reading in readings)
    missed = sum(reading.looked_for for reading in readings) - found
    upper = float(stats.beta.ppf(CONFIDENCE, found + 1, missed)) if missed else 1.0
    return Null("keyed", max(chance, max(shares), upper), chance, shares)
